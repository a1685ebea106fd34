//! Sockets and connections, up to the request: who listens, who is accepted, who is let go.

pub mod accept;
mod activation;
mod connection_limit;
pub mod listen;
pub mod socket;
mod unix;
mod write_timeout;
