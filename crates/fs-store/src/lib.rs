//! Files under a root: walk, look again, remove or move aside, bring back.
//!
//! A path is used exactly once, to open the root. From then on everything goes by directory descriptor and a single
//! name: no path is ever joined for a system call, no link is followed, and no other mount is entered. So nothing that
//! somebody does to the tree meanwhile can lead out of it.
//!
//! From the ground up: `sys` is the kernel's calls; `tree` is a policy's opened root, with what is `protected` in it and
//! what its `rivals`, the other policies, claim of it; `walk` goes through it, `select` finds single files or whole
//! directories; `act` removes what was judged due, and `quarantine` moves it aside and brings it back. [`Store`] is the
//! roof over all of that.
//!
//! The store offers and acts; it never judges, and it never asks what time it is.

mod act;
mod protected;
mod quarantine;
mod rivals;
mod select;
mod store;
mod sys;
mod tree;
mod walk;
mod watch;

pub use act::in_use::View;
pub use protected::Protected;
pub use quarantine::{Conflict, Item, Quarantine, QuarantineError, QuarantineRun, Returned, Unreadable};
pub use rivals::{Met, Roots};
pub use select::by_path::{Same, Selected, Wanted};
pub use select::classify::{Classified, Found};
pub use store::{KeptRoot, Resumed, Store};
pub use sys::entry::FileId;
pub use sys::root::{LockedRoot, RootError, RootLocked, check_access_times_of};
pub use tree::OWN_FOLDER;
pub use walk::resume::{Place, ResumePoint};
pub use walk::worker_pool::Jobs;
pub use watch::{Hint, Watch, WatchError};
