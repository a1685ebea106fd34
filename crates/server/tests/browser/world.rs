//! A service in a process of its own, with deadlines and schedules, on a temporary folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

pub(crate) struct World {
    folder: TempDir,
    child: Child,
    address: String,
    /// Open as long as it runs: it may want to say more.
    _said: BufReader<ChildStdout>,
}

impl World {
    /// Tracked models with these keys, and others that are not tracked: some go after an hour, some then lie in quarantine.
    pub(crate) fn new(models: &str, server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["models", "others", "kept"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("token"), format!("{}\n", crate::TOKEN)).unwrap();
        let config = folder.path().join("cleanup.toml");
        let text = format!(
            "[files.models]\nroot = \"models\"\ninclude = [\"*.step\"]\ntrack = true\n{models}\n\
             [files.others]\nroot = \"others\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n\
             [files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\ndispose = \"quarantine\"\n\
             [server]\nlisten = \"127.0.0.1:0\"\n{server}\n"
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cleanup-server"))
            .arg("--config")
            .arg(config)
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().split(". ").next().unwrap().to_owned();
        Self { folder, child, address, _said: said }
    }

    /// Ends the service as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Makes a tracked file.
    pub(crate) fn file(&self, name: impl AsRef<Path>) {
        fs::write(self.folder.path().join("models").join(name), [b' '; 4096]).unwrap();
    }

    /// Makes a file that is two hours old.
    pub(crate) fn old_file(&self, path: impl AsRef<Path>) {
        let path = self.folder.path().join(path);
        fs::write(&path, [b' '; 4096]).unwrap();
        let times = fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(7200));
        fs::File::open(path).unwrap().set_times(times).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
