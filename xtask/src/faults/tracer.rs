//! Runs a program under `ptrace` and is asked before each of its system calls whether the call may happen.
//!
//! Calls are told apart by their threads; so one and the same call is met again in another run. (`strace --inject` counts like that too, but it fails the call of that number in *every* thread,
//! and a sweeping thread cannot be reached behind a main thread that fails first.) The thread is stopped while the
//! question is answered: what the answer does to the files happens at exactly that place.
//!
//! Calls of the dynamic loader are not asked about: the program has not begun.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Waits to be let go, so that nothing of the program happens untraced.
const BEGIN: &str = r#"read -r go && exec "$0" "$@" </dev/null"#;

/// A system call that is about to happen.
pub(crate) struct Call {
    /// 0 is the main thread; others follow in the order in which they were made.
    pub(crate) thread: usize,
    pub(crate) number: i64,
    pub(crate) args: [u64; 6],
    pid: Pid,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Go,
    /// It does not happen, and the program is told of an error.
    Fail(Errno),
    /// It happens, and the program is told of an error.
    FailAfter(Errno),
    /// The process is killed before it happens.
    Kill,
}

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(Signal),
}

#[derive(Default)]
struct Thread {
    index: usize,
    is_in_call: bool,
    told: Option<Errno>,
}

/// Runs a program to its end.
///
/// # Errors
/// Says so where tracing is not permitted.
pub(crate) fn run(program: &mut Command, watchdog: &Watchdog, ask: &mut dyn FnMut(&Call) -> Answer) -> Result<Ended> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", BEGIN]).arg(program.get_program()).args(program.get_args()).stdin(Stdio::piped());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    let (out, err) = (folder_file(program, "stdout")?, folder_file(program, "stderr")?);
    let mut child = command.stdout(out).stderr(err).spawn().context("cannot start a shell")?;
    let main = Pid::from_raw(i32::try_from(child.id())?);
    let _watched = watchdog.watch(main);
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    if let Err(error) = ptrace::seize(main, options).and_then(|()| ptrace::interrupt(main)) {
        let _ = child.kill();
        let _ = child.wait();
        bail!("a process may not be traced here: {error}");
    }
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"\n").context("cannot let the program go")?;
    }
    let ended = follow(main, ask);
    if ended.is_err() {
        let _ = child.kill();
    }
    // It has been waited for, unless something went wrong.
    let _ = child.wait();
    ended
}

fn follow(main: Pid, ask: &mut dyn FnMut(&Call) -> Answer) -> Result<Ended> {
    let (mut threads, mut is_program, mut has_begun) = (HashMap::<Pid, Thread>::new(), false, false);
    threads.insert(main, Thread::default());
    loop {
        // Not those of other threads of ours, which follow programs of their own.
        let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            Err(error) => bail!("cannot wait for the program: {error}"),
        };
        let (stopped, signal) = match status {
            WaitStatus::Exited(pid, code) if pid == main => return Ok(Ended::Code(code)),
            WaitStatus::Signaled(pid, signal, _) if pid == main => return Ok(Ended::Signal(signal)),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                is_program = true;
                // It tells of the end of the call still. Whether the shell was met in one is not known.
                threads.entry(pid).or_default().is_in_call = true;
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_CLONE) => {
                if let Ok(new) = ptrace::getevent(pid) {
                    let new = Pid::from_raw(i32::try_from(new)?);
                    let index = threads.len();
                    threads.entry(new).or_insert_with(|| Thread { index, ..Thread::default() });
                }
                (pid, None)
            }
            // A new thread may tell of itself before the one that made it.
            WaitStatus::PtraceEvent(pid, ..) => {
                let index = threads.len();
                threads.entry(pid).or_insert_with(|| Thread { index, ..Thread::default() });
                (pid, None)
            }
            WaitStatus::PtraceSyscall(pid) => {
                let thread = threads.entry(pid).or_default();
                thread.is_in_call = !thread.is_in_call;
                if is_program {
                    if thread.is_in_call {
                        if enter(main, pid, thread, &mut has_begun, ask)? {
                            continue;
                        }
                    } else if let Some(error) = thread.told.take() {
                        tell(pid, error);
                    }
                }
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => continue,
        };
        // A thread that was killed meanwhile tells of its end.
        let _ = ptrace::syscall(stopped, signal);
    }
}

/// Asks about a call; true when the program was killed instead.
fn enter(
    main: Pid,
    pid: Pid,
    thread: &mut Thread,
    has_begun: &mut bool,
    ask: &mut dyn FnMut(&Call) -> Answer,
) -> Result<bool> {
    let Ok(mut regs) = ptrace::getregs(pid) else { return Ok(false) };
    let number = regs.orig_rax.cast_signed();
    // What the kernel says of a call that has not happened yet.
    ensure!(regs.rax.cast_signed() == -i64::from(libc::ENOSYS), "a call's beginning was taken for its end");
    if !*has_begun {
        // The first thing that the runtime of a Rust program does.
        *has_begun = pid == main && number == libc::SYS_poll;
        return Ok(false);
    }
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    match ask(&Call { thread: thread.index, number, args, pid }) {
        Answer::Go => {}
        Answer::FailAfter(error) => thread.told = Some(error),
        Answer::Fail(error) => {
            thread.told = Some(error);
            // No call has this number.
            regs.orig_rax = u64::MAX;
            ptrace::setregs(pid, regs).context("cannot keep a call from happening")?;
        }
        Answer::Kill => {
            kill(main, Signal::SIGKILL).context("cannot kill the program")?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn tell(pid: Pid, error: Errno) {
    if let Ok(mut regs) = ptrace::getregs(pid) {
        regs.rax = (-i64::from(error as i32)).cast_unsigned();
        let _ = ptrace::setregs(pid, regs);
    }
}

fn folder_file(program: &Command, name: &str) -> Result<std::fs::File> {
    let folder = program.get_current_dir().context("a traced program has a folder")?;
    std::fs::File::create(folder.join(name)).with_context(|| format!("cannot make {name}"))
}

impl Call {
    /// What a path argument says.
    pub(crate) fn text(&self, arg: usize) -> Option<String> {
        let memory = std::fs::File::open(format!("/proc/{}/mem", self.pid)).ok()?;
        let mut bytes = [0; 512];
        let read = memory.read_at(&mut bytes, self.args[arg]).ok()?;
        let text = bytes[..read].split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// What a descriptor argument leads to.
    pub(crate) fn descriptor(&self, arg: usize) -> Option<PathBuf> {
        let number = u32::try_from(self.args[arg] & 0xffff_ffff).ok()?;
        std::fs::read_link(format!("/proc/{}/fd/{number}", self.pid)).ok()
    }
}

/// Kills programs that do not end.
pub(crate) struct Watchdog {
    watched: Arc<Mutex<HashMap<i32, Instant>>>,
}

/// Longer than any of them takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

impl Watchdog {
    pub(crate) fn new() -> Self {
        let watched: Arc<Mutex<HashMap<i32, Instant>>> = Arc::default();
        let all = Arc::downgrade(&watched);
        std::thread::spawn(move || {
            while let Some(watched) = all.upgrade() {
                for (pid, since) in &*watched.lock().unwrap_or_else(PoisonError::into_inner) {
                    if since.elapsed() > LIMIT {
                        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                    }
                }
                drop(watched);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { watched }
    }

    fn watch(&self, pid: Pid) -> Watched {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(pid.as_raw(), Instant::now());
        Watched { watched: Arc::clone(&self.watched), pid: pid.as_raw() }
    }
}

struct Watched {
    watched: Arc<Mutex<HashMap<i32, Instant>>>,
    pid: i32,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid);
    }
}
