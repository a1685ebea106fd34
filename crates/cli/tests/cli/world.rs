//! A folder of its own for each test, and the binary run in it with nothing inherited from outside.

use std::fmt;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// The user that unprivileged runs use: `nobody`.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// The seed's names: `formal_{uuid}.svg` and, of debug runs, `formal_{timestamp}_{uuid}.svg`.
pub(crate) fn rendered(number: u32) -> String {
    format!("formal_{number:08x}-2f6a-4c3e-b9d1-7a5c08e2f461.svg")
}

pub(crate) fn archive(number: u32) -> String {
    format!("formal_20240101120000_{number:08x}-2f6a-4c3e-b9d1-7a5c08e2f461.svg")
}

/// A folder that is gone at the end.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        // Unprivileged runs must be able to come here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// One policy for `out/*.tmp` older than an hour, with what else its table should say.
    pub(crate) fn with_policy(more: &str) -> Self {
        let world = Self::new();
        let policy = format!("[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n{more}\n");
        world.write("cleanup.toml", &policy);
        fs::create_dir(world.path("out")).unwrap();
        world
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The folder's own name.
    pub(crate) fn name(&self) -> String {
        self.folder.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file of 4096 bytes and of this age.
    pub(crate) fn file(&self, path: impl AsRef<Path>, age: Duration) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [b' '; 4096]).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    }

    /// What lies in a folder, hidden files left out, sorted.
    pub(crate) fn left(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// The one folder of a run in the quarantine of `out`.
    pub(crate) fn aside(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.path("out/.cleanup/quarantine")).unwrap();
        folders.next().unwrap().unwrap().path()
    }

    /// The binary, in this folder, in a clean environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_cleanup")), arguments)
    }

    /// A copy of the binary that `nobody` may run, run by `nobody`; `None`, said aloud, when this is not root.
    pub(crate) fn command_as_nobody(&self, arguments: &[&str]) -> Option<Command> {
        use std::os::unix::process::CommandExt as _;
        if !am_root() {
            eprintln!("SKIPPED in part: only root can run the binary as another user");
            return None;
        }
        let copy = self.path("cleanup-for-nobody");
        // Not by ourselves: a test that forks while we write would inherit the descriptor, and "text file busy" follow.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_cleanup")).arg(&copy).status().unwrap();
        assert!(copied.success());
        let mut command = self.command_of(&copy, arguments);
        command.uid(NOBODY).gid(NOBODY);
        Some(command)
    }

    fn command_of(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.folder.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        // For coverage and sanitisers.
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    }

    /// Runs a command line; its words hold no spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.ran(self.command(&arguments).output().unwrap())
    }

    /// As [`Self::run`], and fails when it has not ended in time.
    pub(crate) fn run_within(&self, line: &str, limit: Duration) -> Ran {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > limit {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it has not ended within {limit:?}");
            }
            std::thread::yield_now();
        }
        self.ran(child.wait_with_output().unwrap())
    }

    pub(crate) fn ran(&self, output: Output) -> Ran {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8").replace(&folder, "[folder]");
        Ran {
            code: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

pub(crate) fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What came of one run. `Display` is for snapshots.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Demands this exit code and gives back stdout.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self}");
        &self.out
    }

    /// Demands success without a word on stderr and gives back stdout.
    #[track_caller]
    pub(crate) fn is_fine(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self}");
        &self.out
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n── stdout\n{}── stderr\n{}", self.code, self.out, self.err)
    }
}
