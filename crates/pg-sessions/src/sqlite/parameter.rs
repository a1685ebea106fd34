//! What each parameter of a SQLite URL means here.

use crate::url::parameter::Meaning::{self, Only, Refused};
use crate::url::parameter::{OFF, meaning};

/// What SQLite's drivers add to URLs.
const SQLITE: &[(&str, Meaning)] = &[
    ("mode", Only(&["", "rw", "rwc"])),
    ("immutable", Only(OFF)),
    ("nolock", Only(OFF)),
    ("uri", Only(OFF)),
    ("foreign_keys", Only(&["1", "true", "on", "yes"])),
    ("_foreign_keys", Only(&["1", "true", "on", "yes"])),
    ("_fk", Only(&["1", "true", "on", "yes"])),
    ("vfs", Refused("only SQLite's default file access is supported")),
];

const SQLITE_NO_BEARING: &[&str] = &[
    "_busy_timeout",
    "_journal",
    "_journal_mode",
    "_sync",
    "_synchronous",
    "_timeout",
    "_txlock",
    "adapter",
    "busy_timeout",
    "cache",
    "cached_statements",
    "check_same_thread",
    "connection_limit",
    "detect_types",
    "encoding",
    "isolation_level",
    "journal_mode",
    "max_connections",
    "max_overflow",
    "pool",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "socket_timeout",
    "synchronous",
    "timeout",
];

/// What a parameter of a SQLite URL means.
pub(super) fn of(name: &str) -> Meaning {
    meaning(name, SQLITE, SQLITE_NO_BEARING)
}
