//! Runs a program of the configuration: no shell, something on its standard input, nothing of its output, a time limit.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often an ending is looked for, at the longest.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program with these bytes on its standard input.
pub fn tell(
    program: &[String],
    input: &[u8],
    variables: &[(&'static str, String)],
    limit: Duration,
) -> Result<(), String> {
    let file = in_memory(input).map_err(|error| format!("cannot write what it is to read: {error}"))?;
    run(program, file, variables, limit)
}

/// A file of these bytes, in memory: where every folder is read-only there is one, too. And whoever does not read it keeps
/// nobody waiting, as a pipe would.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("message", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Runs a program with this file as its standard input. Its standard output is discarded, its standard error is ours. At
/// the end of the time it is killed, with all processes of its group.
pub fn run(
    program: &[String],
    input: File,
    variables: &[(&'static str, String)],
    limit: Duration,
) -> Result<(), String> {
    let Some((name, arguments)) = program.split_first() else { return Err("no program is named".to_owned()) };
    let mut command = Command::new(name);
    command
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
    match wait(&mut child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{name} {}", ended(status))),
        Ok(None) => Err(format!("{name} did not end within {} s and was killed", limit.as_secs_f64().ceil())),
        Err(error) => Err(format!("{name} cannot be waited for: {error}")),
    }
}

/// Waits for the end, as long as it may take; then ends the whole group. What left the group by itself goes on.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let Some(left) = limit.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else { break };
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LOOK);
    }
    // The child has not been waited for, so its number is still its own.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    }
}

/// Where a program lies that would be run, by its path or in these folders; `None` where there is none that may be run.
pub fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let may_run = |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| may_run(path));
    }
    folders.iter().map(|folder| folder.join(name)).find(|path| may_run(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn it_gets_its_input_and_its_variables_and_its_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let script = format!("cat > {0}; echo $CLEANUP_EVENT >> {0}; echo nobody sees this", out.display());
        tell(&shell(&script), b"{}\n", &[("CLEANUP_EVENT", "test".to_owned())], LONG).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "{}\ntest\n");
        assert_eq!(tell(&shell("exit 7"), b"", &[], LONG).unwrap_err(), "/bin/sh ended with exit code 7");
        assert_eq!(tell(&shell("kill -9 $$"), b"", &[], LONG).unwrap_err(), "/bin/sh was ended by signal 9");
        let missing = tell(&["/no/such".to_owned()], b"", &[], LONG).unwrap_err();
        assert!(missing.starts_with("/no/such cannot be started"), "{missing}");
    }

    #[test]
    fn a_megabyte_that_nobody_reads_keeps_nobody_waiting() {
        tell(&shell("exit 0"), &vec![b' '; 1 << 20], &[], LONG).unwrap();
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // The child keeps the file of its number locked for as long as it lives.
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let error = tell(&shell(&script), b"", &[], Duration::from_secs(2)).unwrap_err();
        assert_eq!(error, "/bin/sh did not end within 2 s and was killed");
        let pid: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let is_gone = || {
            // A zombie that nobody has waited for is gone, too.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z")
        };
        let begun = Instant::now();
        while !is_gone() {
            assert!(begun.elapsed() < LONG, "its child still runs");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_is_found_by_its_path_or_in_the_folders() {
        let bin = [PathBuf::from("/nowhere"), PathBuf::from("/bin")];
        assert_eq!(find("sh", &bin), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("/bin/sh", &[]), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("no-such-program", &bin), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(find(file.path().to_str().unwrap(), &bin), None, "it may not be run");
    }
}
