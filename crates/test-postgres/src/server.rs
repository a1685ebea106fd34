//! What a test asks of a running server: a database of its own, a URL, a statement run by `psql`.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// A running server, by its socket folder.
#[derive(Debug)]
pub struct Server {
    socket_dir: PathBuf,
    binaries: PathBuf,
    /// Part of the socket's name, too.
    port: u16,
}

/// The port of a cluster that nobody asked for another one.
const PORT: u16 = 5432;

impl Server {
    pub(crate) fn new(socket_dir: PathBuf, binaries: PathBuf) -> Self {
        Self { socket_dir, binaries, port: PORT }
    }

    pub(crate) fn listen_on(&mut self, port: u16) {
        self.port = port;
    }

    /// The port; without a cluster that listens on an address, only a part of the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Makes an empty database with a name that nobody else has, and returns the name.
    pub fn create_database(&self) -> Result<String, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Processes of a long run may share a number.
        let chance = RandomState::new().hash_one(std::process::id());
        let name = format!("t{}_{chance:x}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name}"))?;
        Ok(name)
    }

    /// A URL for the superuser `postgres`, as `sqlx` and `psycopg` read it.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// A URL for a role that is trusted.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        let port = if self.port == PORT { String::new() } else { format!("&port={}", self.port) };
        format!("postgresql:///{database}?host={}&user={role}{port}", self.socket_dir.display())
    }

    /// Runs statements as the superuser, each in its own transaction, and returns the rows: no header, `|` between.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        let mut command = Command::new(self.binaries.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-d", database, "-h"]);
        command.arg(&self.socket_dir).arg("-p").arg(self.port.to_string()).arg("-f").arg("-");
        let output = crate::cluster::run("psql", &mut command, sql.as_bytes())?;
        Ok(output.trim_end().to_owned())
    }
}
