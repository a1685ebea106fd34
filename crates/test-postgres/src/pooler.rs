//! `PgBouncer` before a server of a test's own, in transaction mode: after each transaction a client may get another
//! server connection.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Account, account, command};
use crate::{Error, Server};

/// Part of the socket's name; nothing listens on an address.
const PORT: u16 = 6432;

/// How long it may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends with the pipe, whoever closes it, and leaves nothing behind.
const WATCH: &str =
    r#""$1" -q "$2/pgbouncer.ini" & pooler=$!; cat >/dev/null; kill -KILL $pooler; wait $pooler; rm -rf "$2""#;

/// A running `PgBouncer`. Dropping it ends the program and removes everything.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    watch: Child,
}

impl Pooler {
    /// The program; `None` where it is not installed. Debian keeps it off the search path of ordinary users.
    pub fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
    }

    /// Starts one before a server; `None` where the program is not installed.
    pub fn start(server: &Server) -> Result<Option<Self>, Error> {
        let Some(program) = Self::program() else { return Ok(None) };
        let folder = tempfile::Builder::new()
            .prefix("cleanup-pooler-")
            .tempdir()
            .map_err(|source| Error::Io { action: "make a temporary folder".to_owned(), source })?
            .keep();
        let io = |source| Error::Io { action: format!("prepare {}", folder.display()), source };
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(io)?;
        let account = account()?;
        if let Some(Account { uid, gid }) = account {
            chown(&folder, Some(uid), Some(gid)).map_err(io)?;
        }
        // Few server connections, so that clients have to share them.
        let settings = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\npool_mode = transaction\nauth_type = any\nlisten_addr =\n\
             listen_port = {PORT}\nunix_socket_dir = {}\ndefault_pool_size = 3\nlogfile = {}\n",
            server.socket_dir().display(),
            server.port(),
            folder.display(),
            folder.join("log").display(),
        );
        fs::write(folder.join("pgbouncer.ini"), settings).map_err(io)?;
        let mut watch = command("/bin/sh", &folder, account);
        watch.args(["-c", WATCH, "watch"]).arg(&program).arg(&folder);
        let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(io)?;
        let pooler = Self { folder, watch };
        let begun = Instant::now();
        while !pooler.folder.join(format!(".s.PGSQL.{PORT}")).exists() {
            if begun.elapsed() > PATIENCE {
                let output = fs::read_to_string(pooler.folder.join("log")).unwrap_or_default();
                return Err(Error::Program { program: "pgbouncer", output });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(pooler))
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// A URL for the superuser `postgres`, by way of the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres&port={PORT}", self.folder.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // Nothing can be done about a shell that failed, and a destructor must not panic.
        let _ = self.watch.wait();
    }
}
