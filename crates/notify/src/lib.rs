//! Who is told of findings, and what runs after files were removed.
//!
//! Two halves that know nothing of each other:
//!
//! - The *judgement*, which is pure: [`Look`] says what a run or the service found and what it would have found,
//!   [`Memory`] what was found and told before; together they say what is to be told now. `now` is handed in.
//! - The *delivery*: a request over HTTP ([`http`]), or a program with something on its standard input ([`program`]).
//!   Each ends within a time limit, and an error never shows a URL beyond its host.
//!
//! Nothing here knows where the memory is kept, or what was removed: [`Spool`] only gathers paths for a program.

pub mod http;
mod look;
mod memory;
mod message;
pub mod program;
mod spool;

pub use crate::look::Look;
pub use crate::memory::{Known, Memory, Pending, Target};
pub use crate::message::{Event, Message};
pub use crate::spool::Spool;
