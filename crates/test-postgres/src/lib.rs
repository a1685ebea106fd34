//! A PostgreSQL cluster of a test's own: made by `initdb`, reached by a unix socket only, gone with its value.
//!
//! Nothing is mocked and nothing on the machine is touched: every cluster lives in a temporary folder and listens on
//! no port. `initdb` refuses root, so under root all of the server's programs run as the account `postgres`.
//!
//! A server must not outlive its test, however the test ends. A destructor covers a panic but not an abort, a
//! `SIGKILL` or a `static`; so a small shell waits on a pipe whose other end this process holds, and stops the server
//! and removes the folder as soon as that pipe closes. Dropping a [`Cluster`] only closes the pipe and waits.
//!
//! Tests call [`shared`], which takes the cluster that `cargo xtask test` started (its socket folder is in
//! [`SOCKET_VARIABLE`]) or starts one for the process, and make a database each. Faults get a cluster of their own.

mod cluster;
pub mod frameworks;
mod pooler;
mod server;

use std::path::PathBuf;
use std::sync::OnceLock;

pub use cluster::Cluster;
pub use pooler::Pooler;
pub use server::Server;

/// The environment variable that names the socket folder of a cluster that is already running.
pub const SOCKET_VARIABLE: &str = "CLEANUP_TEST_POSTGRES";

/// A role of every cluster's `pg_hba.conf` that must give a password (SCRAM); all others are trusted. Not created.
pub const PASSWORD_ROLE: &str = "needs_password";

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `/usr/lib/postgresql/*/bin` nor `PATH` holds a server.
    #[error(
        "PostgreSQL is not installed: no `initdb` in /usr/lib/postgresql/*/bin or PATH; \
         install the package `postgresql` (Debian, Ubuntu, Alpine) or `postgresql-server` (Fedora)"
    )]
    NotInstalled,
    /// Root must run the server as somebody else.
    #[error("no account `postgres` to run the server as: initdb refuses root; install the package `postgresql`")]
    NoAccount,
    /// A program of the server failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// A folder could not be made, or a program not be started.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// [`shared`] failed before in this process.
    #[error("{0}")]
    Earlier(String),
}

/// The cluster that all tests of this process share: a database each, no settings changed.
pub fn shared() -> Result<&'static Server, Error> {
    static SHARED: OnceLock<Result<Shared, Error>> = OnceLock::new();
    match SHARED.get_or_init(Shared::open) {
        Ok(Shared::Given(server)) => Ok(server),
        Ok(Shared::Own(cluster)) => Ok(cluster.server()),
        Err(error) => Err(Error::Earlier(error.to_string())),
    }
}

enum Shared {
    Given(Server),
    /// Never dropped, since statics are not: the waiting shell stops it when the process ends.
    Own(Cluster),
}

impl Shared {
    fn open() -> Result<Self, Error> {
        match std::env::var_os(SOCKET_VARIABLE) {
            Some(folder) if !folder.is_empty() => {
                Ok(Self::Given(Server::new(PathBuf::from(folder), Cluster::binaries()?)))
            }
            _ => Cluster::start().map(Self::Own),
        }
    }
}
