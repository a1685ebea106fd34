//! Which system calls there are, what each of them may end with, and what is said of them.

use nix::errno::Errno;
use nix::libc;

use super::tracer::{Answer, Call};

/// What a file system, or a kernel that is short of memory, may say.
const LOOK: &[Errno] = &[Errno::EIO, Errno::EACCES, Errno::EINTR, Errno::ENOMEM, Errno::ESTALE];
const CHANGE: &[Errno] = &[Errno::EIO, Errno::ENOSPC, Errno::EACCES, Errno::EINTR, Errno::ENOMEM, Errno::ESTALE];
/// Who may not do it is another matter: what this user may not give back, they do not have to.
const GIVE: &[Errno] = &[Errno::EIO, Errno::ENOSPC, Errno::EINTR, Errno::ENOMEM, Errno::ESTALE];
const MEMORY: &[Errno] = &[Errno::ENOMEM];
const LOCK: &[Errno] = &[Errno::EIO, Errno::EACCES, Errno::EINTR, Errno::ENOMEM, Errno::ESTALE];
const SEEK: &[Errno] = &[Errno::EIO, Errno::EINTR, Errno::ENOMEM, Errno::ESTALE];
/// It happens all the same.
const CLOSE: &[Errno] = &[Errno::EIO, Errno::ENOSPC, Errno::EINTR];
/// It cannot fail in any of these ways.
const NONE: &[Errno] = &[];

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A name, below the descriptor in the first argument, in this argument.
    At(usize),
    /// A path in the first argument.
    Path,
    /// The descriptor in the first argument.
    Descriptor,
    Nothing,
}

/// A system call.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) number: i64,
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    errors: &'static [Errno],
}

const fn kind(number: i64, name: &'static str, subject: Subject, errors: &'static [Errno]) -> Kind {
    Kind { number, name, subject, errors }
}

use Subject::{At, Descriptor, Nothing, Path};

/// All that the programs make. One that is missing here stops the command: somebody has to decide how it fails.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    kind(libc::SYS_open,              "open",              Path,       LOOK),
    kind(libc::SYS_openat,            "openat",            At(1),      LOOK),
    kind(libc::SYS_statx,             "statx",             At(1),      LOOK),
    kind(libc::SYS_newfstatat,        "newfstatat",        At(1),      LOOK),
    kind(libc::SYS_fstat,             "fstat",             Descriptor, LOOK),
    kind(libc::SYS_fstatfs,           "fstatfs",           Descriptor, LOOK),
    kind(libc::SYS_faccessat2,        "faccessat2",        At(1),      LOOK),
    kind(libc::SYS_readlink,          "readlink",          Path,       LOOK),
    kind(libc::SYS_getdents64,        "getdents64",        Descriptor, LOOK),
    kind(libc::SYS_read,              "read",              Descriptor, LOOK),
    kind(libc::SYS_pread64,           "pread64",           Descriptor, LOOK),
    kind(libc::SYS_flistxattr,        "flistxattr",        Descriptor, SEEK),
    kind(libc::SYS_fgetxattr,         "fgetxattr",         Descriptor, SEEK),
    kind(libc::SYS_getcwd,            "getcwd",            Nothing,    LOOK),
    kind(libc::SYS_lseek,             "lseek",             Descriptor, SEEK),
    kind(libc::SYS_mkdir,             "mkdir",             Path,       CHANGE),
    kind(libc::SYS_mkdirat,           "mkdirat",           At(1),      CHANGE),
    kind(libc::SYS_rename,            "rename",            Path,       CHANGE),
    kind(libc::SYS_renameat,          "renameat",          At(1),      CHANGE),
    kind(libc::SYS_renameat2,         "renameat2",         At(1),      CHANGE),
    kind(libc::SYS_linkat,            "linkat",            At(1),      CHANGE),
    kind(libc::SYS_unlink,            "unlink",            Path,       CHANGE),
    kind(libc::SYS_unlinkat,          "unlinkat",          At(1),      CHANGE),
    kind(libc::SYS_fchmod,            "fchmod",            Descriptor, GIVE),
    kind(libc::SYS_fchown,            "fchown",            Descriptor, GIVE),
    kind(libc::SYS_fsetxattr,         "fsetxattr",         Descriptor, SEEK),
    kind(libc::SYS_fremovexattr,      "fremovexattr",      Descriptor, GIVE),
    kind(libc::SYS_utimensat,         "utimensat",         At(1),      CHANGE),
    kind(libc::SYS_ftruncate,         "ftruncate",         Descriptor, CHANGE),
    kind(libc::SYS_write,             "write",             Descriptor, CHANGE),
    kind(libc::SYS_pwrite64,          "pwrite64",          Descriptor, CHANGE),
    kind(libc::SYS_fsync,             "fsync",             Descriptor, CHANGE),
    kind(libc::SYS_fdatasync,         "fdatasync",         Descriptor, CHANGE),
    kind(libc::SYS_flock,             "flock",             Descriptor, LOCK),
    kind(libc::SYS_fcntl,             "fcntl",             Descriptor, LOCK),
    kind(libc::SYS_close,             "close",             Descriptor, CLOSE),
    kind(libc::SYS_mmap,              "mmap",              Nothing,    MEMORY),
    kind(libc::SYS_mprotect,          "mprotect",          Nothing,    MEMORY),
    kind(libc::SYS_mremap,            "mremap",            Nothing,    MEMORY),
    // It says no by answering with the end that there was.
    kind(libc::SYS_brk,               "brk",               Nothing,    NONE),
    kind(libc::SYS_clone3,            "clone3",            Nothing,    MEMORY),
    kind(libc::SYS_munmap,            "munmap",            Nothing,    NONE),
    kind(libc::SYS_madvise,           "madvise",           Nothing,    NONE),
    kind(libc::SYS_futex,             "futex",             Nothing,    NONE),
    kind(libc::SYS_rt_sigaction,      "rt_sigaction",      Nothing,    NONE),
    kind(libc::SYS_rt_sigprocmask,    "rt_sigprocmask",    Nothing,    NONE),
    kind(libc::SYS_sigaltstack,       "sigaltstack",       Nothing,    NONE),
    kind(libc::SYS_getpid,            "getpid",            Nothing,    NONE),
    kind(libc::SYS_gettid,            "gettid",            Nothing,    NONE),
    kind(libc::SYS_geteuid,           "geteuid",           Nothing,    NONE),
    kind(libc::SYS_getrandom,         "getrandom",         Nothing,    NONE),
    kind(libc::SYS_ioctl,             "ioctl",             Nothing,    NONE),
    kind(libc::SYS_prctl,             "prctl",             Nothing,    NONE),
    kind(libc::SYS_prlimit64,         "prlimit64",         Nothing,    NONE),
    kind(libc::SYS_sched_getaffinity, "sched_getaffinity", Nothing,    NONE),
    kind(libc::SYS_sched_yield,       "sched_yield",       Nothing,    NONE),
    kind(libc::SYS_nanosleep,         "nanosleep",         Nothing,    NONE),
    kind(libc::SYS_clock_nanosleep,   "clock_nanosleep",   Nothing,    NONE),
    kind(libc::SYS_restart_syscall,   "restart_syscall",   Nothing,    NONE),
    kind(libc::SYS_rt_sigreturn,      "rt_sigreturn",      Nothing,    NONE),
    kind(libc::SYS_set_robust_list,   "set_robust_list",   Nothing,    NONE),
    kind(libc::SYS_rseq,              "rseq",              Nothing,    NONE),
    kind(libc::SYS_tgkill,            "tgkill",            Nothing,    NONE),
    kind(libc::SYS_exit,              "exit",              Nothing,    NONE),
    kind(libc::SYS_exit_group,        "exit_group",        Nothing,    NONE),
];

/// All calls that can fail.
pub(crate) fn failing() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| !kind.errors.is_empty())
}

/// The call of this number.
pub(crate) fn by_number(number: i64) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.number == number)
}

/// The call of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What may go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Error(Errno),
    Kill,
}

impl Fault {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Error(error) => format!("{error:?}"),
            Self::Kill => "SIGKILL".to_owned(),
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        if name == "SIGKILL" {
            return Some(Self::Kill);
        }
        CHANGE.iter().find(|error| format!("{error:?}") == name).map(|error| Self::Error(*error))
    }

    /// How it is done to a call of this kind.
    pub(crate) fn answer(self, kind: &Kind) -> Answer {
        match self {
            Self::Kill => Answer::Kill,
            // The kernel gives the descriptor back whatever it says.
            Self::Error(error) if kind.number == libc::SYS_close => Answer::FailAfter(error),
            Self::Error(error) => Answer::Fail(error),
        }
    }
}

impl Kind {
    /// What may go wrong with this call.
    pub(crate) fn faults(&self, call: &Call) -> Vec<Fault> {
        let number = |arg: usize| i32::try_from(call.args[arg] & 0xffff_ffff).unwrap_or_default();
        let errors = match self.number {
            libc::SYS_openat if number(2) & libc::O_CREAT != 0 => CHANGE,
            libc::SYS_open if number(1) & libc::O_CREAT != 0 => CHANGE,
            libc::SYS_fcntl => match number(1) {
                libc::F_GETFD | libc::F_SETFD | libc::F_GETFL | libc::F_SETFL => NONE,
                _ => LOCK,
            },
            // Nothing of a folder is written when it is closed.
            libc::SYS_close if call.descriptor(0).is_some_and(|path| path.is_dir()) => &[Errno::EINTR],
            libc::SYS_flock if number(1) & libc::LOCK_UN != 0 => NONE,
            // A thread ends: what it had is given back.
            libc::SYS_mprotect if number(2) == libc::PROT_NONE => NONE,
            _ => self.errors,
        };
        // Whoever may not enter a folder takes the next configuration.
        let is_sought =
            self.number == libc::SYS_statx && call.text(1).is_some_and(|name| name.ends_with("/cleanup.toml"));
        let mut faults: Vec<Fault> = errors
            .iter()
            .filter(|error| !(is_sought && **error == Errno::EACCES))
            .map(|error| Fault::Error(*error))
            .collect();
        if !faults.is_empty() {
            faults.push(Fault::Kill);
        }
        faults
    }

    /// What the call is about, for people.
    pub(crate) fn subject(&self, call: &Call) -> String {
        let shown = |arg| call.descriptor(arg).map_or_else(|| "?".to_owned(), |path| path.display().to_string());
        match self.subject {
            Subject::At(arg) => {
                let name = call.text(arg).unwrap_or_default();
                if name.starts_with('/') {
                    name
                } else if name.is_empty() {
                    shown(0)
                } else {
                    format!("{}/{name}", shown(0))
                }
            }
            Subject::Path => call.text(0).unwrap_or_default(),
            Subject::Descriptor => shown(0),
            Subject::Nothing => String::new(),
        }
    }
}
