//! Other processes: this test program again, which then does one thing.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use cleanup_state::State;

use crate::common::{at, ids, record};

/// Nobody, on every system that has one.
pub(crate) const STRANGER: u32 = 65534;

/// What a child is to do, and where.
const TASK: &str = "CLEANUP_STATE_TEST_TASK";
const FOLDER: &str = "CLEANUP_STATE_TEST_FOLDER";

/// Not a test: the children begin here.
#[test]
fn child() {
    let (Ok(task), Some(folder)) = (std::env::var(TASK), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let (task, argument) = task.split_once(' ').unwrap_or((&task, ""));
    match task {
        "hold-lock" => {
            let state = State::open(folder, None).unwrap();
            let _lock = state.lock("temp").unwrap();
            println!("\nLOCKED");
            // Until it is killed.
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        "record-and-die" => {
            let mut state = State::open(folder, None).unwrap();
            record(&mut state, argument, 0);
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        "record" => {
            let mut state = State::open(folder, None).unwrap();
            record(&mut state, argument, 0);
            assert_eq!(state.take_notes(), [""; 0]);
        }
        "hold" => {
            let mut state = State::open(folder, None).unwrap();
            for number in 0..20 {
                let path = format!("/{argument}/{number}");
                state.promises().unwrap().hold(path.as_bytes(), at(100), at(0)).unwrap();
            }
        }
        "look" => {
            let mut state = State::look(folder, None).unwrap();
            println!("\nRUNS {}", ids(&mut state).join(" "));
            println!("HELD {}", state.promises().unwrap().holds(at(0)).count());
            println!("NOTES {}", state.take_notes().join(" | "));
        }
        "open" => match State::open(folder, None) {
            Ok(_) => println!("\nOPENED"),
            Err(error) => println!("\nREFUSED {error}"),
        },
        task => panic!("no such task: {task}"),
    }
}

/// A child that does `task` in `folder`, as this user.
pub(crate) fn command(folder: &Path, task: &str) -> Command {
    command_of(&std::env::current_exe().unwrap(), folder, task)
}

/// The same as another user, from a copy of this program that he may run. `None` where this user may not do that,
/// which is said aloud.
pub(crate) fn command_as_stranger(shared: &Path, folder: &Path, task: &str) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: what another user sees (only root can become one)");
        return None;
    }
    let program = shared.join("program");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let mut command = command_of(&program, folder, task);
    command.uid(STRANGER).gid(STRANGER).current_dir("/");
    Some(command)
}

fn command_of(program: &Path, folder: &Path, task: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "child::child", "--nocapture"]).env(TASK, task).env(FOLDER, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it printed. Panics when it failed.
pub(crate) fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Starts it and waits until it prints that line.
pub(crate) fn start_and_wait(mut command: Command, line: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.trim() != line {
        text.clear();
        assert_ne!(lines.read_line(&mut text).unwrap(), 0, "it never said {line}");
    }
    (child, lines)
}
