//! Making, starting, stopping and breaking a cluster.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::server::Server;
use crate::{Error, PASSWORD_ROLE};

/// Fast rather than durable, and silent towards the network. The last value of a key wins.
const SETTINGS: &str = "\
fsync = off
listen_addresses = ''
max_connections = 100
log_line_prefix = '%m [%p] %d '
";

/// Waits for the pipe to close, whoever closes it, and leaves nothing behind.
const WATCH: &str = r#"cat >/dev/null; "$1/pg_ctl" stop -D "$2/data" -m immediate -w -t 30; rm -rf "$2""#;

/// A cluster of its own. Dropping it stops the server and removes everything.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    account: Option<Account>,
    server: Server,
    watch: Child,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Cluster {
    /// Makes a cluster and starts it: about a second.
    pub fn start() -> Result<Self, Error> {
        Self::folder()?.begin("")
    }

    /// The same, but reached by TCP as well, on a free port of `::1`; [`Server::port`] tells which. Everybody on this
    /// machine can reach it while it runs, so it is for tests of addresses alone.
    pub fn start_on_ipv6_loopback() -> Result<Self, Error> {
        let io = |source| Error::Io { action: "find a free port of ::1".to_owned(), source };
        let mut last = None;
        // Somebody may take the port before the server does.
        for _ in 0..5 {
            let free = TcpListener::bind("[::1]:0").and_then(|socket| socket.local_addr()).map_err(io)?;
            let mut cluster = Self::folder()?;
            cluster.server.listen_on(free.port());
            match cluster.begin(&format!("listen_addresses = '::1'\nport = {}\n", free.port())) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(Error::Earlier("no port of ::1 is free".to_owned())))
    }

    /// The same, but reached by TCP as well, on a free port of `127.0.0.1`, where it speaks TLS with this certificate and key.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { action: "find a free port of 127.0.0.1".to_owned(), source };
        let mut last = None;
        // Somebody may take the port before the server does.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(io)?;
            let mut cluster = Self::folder()?;
            cluster.server.listen_on(free.port());
            let (own_certificate, own_key) = (cluster.own(certificate, "tls.crt")?, cluster.own(key, "tls.key")?);
            let settings = format!(
                "listen_addresses = '127.0.0.1'\nport = {}\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
                free.port(),
                own_certificate.display(),
                own_key.display()
            );
            match cluster.begin(&settings) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(Error::Earlier("no port of 127.0.0.1 is free".to_owned())))
    }

    /// A copy of a file that the server, and nobody else, may read.
    fn own(&self, file: &Path, name: &str) -> Result<PathBuf, Error> {
        let copy = self.folder.join(name);
        let io = |source| Error::Io { action: format!("copy {}", file.display()), source };
        fs::copy(file, &copy).map_err(io)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).map_err(io)?;
        if let Some(Account { uid, gid }) = self.account {
            chown(&copy, Some(uid), Some(gid)).map_err(io)?;
        }
        Ok(copy)
    }

    fn begin(self, settings: &str) -> Result<Self, Error> {
        let data = self.data();
        let data = data.to_string_lossy();
        self.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"])?;
        self.configure(settings)?;
        self.restart()?;
        Ok(self)
    }

    /// Makes a read-only copy that follows `primary`, and starts it.
    pub fn standby_of(primary: &Self) -> Result<Self, Error> {
        let cluster = Self::folder()?;
        let data = cluster.data();
        let (data, host) = (data.to_string_lossy(), primary.socket_dir().to_string_lossy());
        cluster.run("pg_basebackup", &["-D", &data, "-h", &host, "-U", "postgres", "-R", "-N", "-c", "fast"])?;
        cluster.configure("")?;
        cluster.restart()?;
        Ok(cluster)
    }

    /// The folder of the newest server's programs.
    pub fn binaries() -> Result<PathBuf, Error> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|entry| {
                let version: u32 = entry.file_name().to_str()?.parse().ok()?;
                let folder = entry.path().join("bin");
                folder.join("initdb").is_file().then_some((version, folder))
            })
            .max();
        if let Some((_, folder)) = newest {
            return Ok(folder);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find_map(|folder| fs::canonicalize(folder.join("initdb")).ok())
            .and_then(|program| program.parent().map(Path::to_owned))
            .ok_or(Error::NotInstalled)
    }

    /// The running server, as tests see it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The folder of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.server.socket_dir()
    }

    /// Stops it in an orderly way: connections are closed, nothing is lost.
    pub fn stop(&self) -> Result<(), Error> {
        self.control("stop", "fast")
    }

    /// Stops it as a crash would: no checkpoint, no farewell.
    pub fn kill(&self) -> Result<(), Error> {
        self.control("stop", "immediate")
    }

    /// Starts it again after [`Cluster::stop`] or [`Cluster::kill`]; recovers first when need be.
    pub fn restart(&self) -> Result<(), Error> {
        self.control("start", "fast")
    }

    fn folder() -> Result<Self, Error> {
        let binaries = Self::binaries()?;
        let account = account()?;
        let folder = tempfile::Builder::new()
            .prefix("cleanup-pg-")
            .tempdir()
            .map_err(|source| Error::Io { action: "make a temporary folder".to_owned(), source })?
            .keep();
        let action = || format!("prepare {}", folder.display());
        let io = |source| Error::Io { action: action(), source };
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(io)?;
        if let Some(Account { uid, gid }) = account {
            chown(&folder, Some(uid), Some(gid)).map_err(io)?;
        }
        let mut watch = command("/bin/sh", &folder, account);
        watch.args(["-c", WATCH, "watch"]).arg(&binaries).arg(&folder);
        let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(io)?;
        let server = Server::new(folder.clone(), binaries.clone());
        Ok(Self { folder, binaries, account, server, watch })
    }

    /// The last value of a key wins, so `more` overrides what every cluster has.
    fn configure(&self, more: &str) -> Result<(), Error> {
        let io = |source| Error::Io { action: "configure the server".to_owned(), source };
        let mut settings = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf")).map_err(io)?;
        let socket = format!("unix_socket_directories = '{}'\n{more}", self.folder.display());
        settings.write_all(SETTINGS.as_bytes()).and_then(|()| settings.write_all(socket.as_bytes())).map_err(io)?;
        let file = self.data().join("pg_hba.conf");
        let trusting = fs::read_to_string(&file).map_err(io)?;
        // Written in place: the file keeps its owner.
        fs::write(&file, format!("local all {PASSWORD_ROLE} scram-sha-256\n{trusting}")).map_err(io)
    }

    fn control(&self, verb: &str, mode: &str) -> Result<(), Error> {
        let (data, log) = (self.data(), self.folder.join("log"));
        let (data, log) = (data.to_string_lossy(), log.to_string_lossy());
        let mut arguments = vec![verb, "-D", &data, "-w", "-t", "60", "-l", &log];
        if verb == "stop" {
            arguments.extend(["-m", mode]);
        }
        self.run("pg_ctl", &arguments).map_err(|error| match error {
            Error::Program { program, output } => {
                let log = fs::read_to_string(&*log).unwrap_or_default();
                Error::Program { program, output: format!("{output}\n{log}") }
            }
            other => other,
        })
    }

    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = command(self.binaries.join(program), &self.folder, self.account);
        run(program, command.args(arguments), b"").map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // Nothing can be done about a shell that failed, and a destructor must not panic.
        let _ = self.watch.wait();
    }
}

/// A program that runs as the account, in the folder, and out of reach of the terminal's Ctrl-C.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).process_group(0).env("LC_ALL", "C");
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a program to its end and returns what it wrote to stdout. Output goes through files, not pipes: a server that
/// `pg_ctl` starts would hold a pipe open for ever.
pub(crate) fn run(program: &'static str, command: &mut Command, input: &[u8]) -> Result<String, Error> {
    let io = |source| Error::Io { action: format!("run {program}"), source };
    let (mut out, mut err) = (tempfile::tempfile().map_err(io)?, tempfile::tempfile().map_err(io)?);
    command.stdin(Stdio::piped()).stdout(out.try_clone().map_err(io)?).stderr(err.try_clone().map_err(io)?);
    let mut child = command.spawn().map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why by its status.
        let _ = stdin.write_all(input);
    }
    let status = child.wait().map_err(io)?;
    let output = text(&mut out).map_err(io)?;
    if status.success() {
        return Ok(output);
    }
    Err(Error::Program { program, output: format!("{output}{}", text(&mut err).map_err(io)?) })
}

fn text(file: &mut fs::File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whom to run the server as: nobody else, or under root the account `postgres`.
pub(crate) fn account() -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let postgres = fields.into_iter().find(|fields| fields.first() == Some(&"postgres"));
    let number = |index: usize| postgres.as_ref()?.get(index)?.parse().ok();
    match (number(2), number(3)) {
        (Some(uid), Some(gid)) => Ok(Some(Account { uid, gid })),
        _ => Err(Error::NoAccount),
    }
}
