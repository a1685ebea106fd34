//! What is played: small trees, and the command during which something fails.

use nix::errno::Errno;

/// A tree, and a command.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Keys of the policy.
    pub(crate) policy: &'static str,
    /// Keys of the audit log.
    pub(crate) audit: &'static str,
    /// Old files that are there before anything else, for [`Scenario::before`].
    pub(crate) first: &'static [&'static str],
    /// What is done without any fault before.
    pub(crate) before: &'static [Before],
    /// Old files that are there when the command begins.
    pub(crate) due: &'static [&'static str],
    /// The command line.
    pub(crate) command: &'static [&'static str],
    pub(crate) does: Does,
    /// Whether what goes can come back.
    pub(crate) is_kept_aside: bool,
    /// Whether a whole directory goes at once.
    pub(crate) is_unit: bool,
    /// What another program writes meanwhile.
    pub(crate) contested: &'static [&'static str],
    /// Whether nothing was ever swept before.
    pub(crate) is_new: bool,
    /// Only calls about paths that contain one of these fail.
    pub(crate) only: &'static [&'static str],
    /// What this file system cannot do, and says so.
    pub(crate) lacks: Option<(&'static str, Errno)>,
    /// How many young files there are besides.
    pub(crate) crowd: usize,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Sweep,
    Plan,
    Apply,
    Restore,
    Hold(&'static str),
    Release(&'static str),
}

/// What was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// A command.
    Run(&'static [&'static str]),
    /// What lies in quarantine has been there for longer than it may.
    Age,
    /// The audit log is nearly full.
    FillAudit,
}

const QUARANTINE: &str =
    "include = [\"*.tmp\"]\nrecursive = true\nremove_empty_dirs = true\ndispose = \"quarantine\"\n";
const DELETE: &str = "include = [\"*.tmp\"]\nrecursive = true\n";
/// What a scenario does that others do not: the configuration is read and the memory opened alike in all of them.
const OWN: &[&str] = &["/out", "/audit.jsonl", "/plan.jsonl"];
const EVERYTHING: &[&str] = &[""];

const SWEEP: &[&str] = &["sweep", "--jobs", "1", "--json"];

const PLAIN: Scenario = Scenario {
    name: "",
    policy: DELETE,
    audit: "",
    first: &[],
    before: &[],
    due: &["a.tmp", "b.tmp"],
    command: SWEEP,
    does: Does::Sweep,
    is_kept_aside: false,
    is_unit: false,
    contested: &["a.tmp", "b.tmp"],
    is_new: false,
    only: OWN,
    lacks: None,
    crowd: 0,
};

const ASIDE: Scenario = Scenario { policy: QUARANTINE, is_kept_aside: true, ..PLAIN };

pub(crate) const ALL: &[Scenario] = &[
    Scenario { name: "sweep", only: EVERYTHING, ..PLAIN },
    Scenario {
        name: "tree",
        policy: "include = [\"*.tmp\"]\nrecursive = true\nremove_empty_dirs = true\n",
        due: &["d/e/a.tmp", "d/b.tmp", "g/c.tmp"],
        contested: &["d/e/a.tmp", "d/b.tmp", "g/c.tmp"],
        ..PLAIN
    },
    Scenario {
        name: "unit-delete",
        policy: "include = [\"job*\"]\nunit = \"directory\"\n",
        due: &["job1/a", "job1/d/b", "job2/c"],
        is_unit: true,
        contested: &["job1/a", "job1/d/b", "job1/new", "job2/c"],
        ..PLAIN
    },
    Scenario {
        name: "unit-quarantine",
        policy: "include = [\"job*\"]\nunit = \"directory\"\ndispose = \"quarantine\"\n",
        due: &["job1/a", "job1/d/b", "job2/c"],
        is_kept_aside: true,
        is_unit: true,
        contested: &["job1/a", "job1/d/b", "job1/new", "job2/c"],
        ..PLAIN
    },
    Scenario { name: "quarantine", due: &["a.tmp", "d/b.tmp", "d/e/c.tmp"], contested: &["a.tmp", "d/b.tmp"], ..ASIDE },
    Scenario {
        name: "purge",
        first: &["old1.tmp", "d/old2.tmp"],
        before: &[Before::Run(SWEEP), Before::Age],
        due: &["a.tmp"],
        contested: &["a.tmp", "old1.tmp"],
        ..ASIDE
    },
    Scenario {
        name: "unit-purge",
        policy: "include = [\"job*\"]\nunit = \"directory\"\ndispose = \"quarantine\"\n",
        first: &["job1/a", "job1/d/b"],
        before: &[Before::Run(SWEEP), Before::Age],
        due: &["job2/c"],
        is_kept_aside: true,
        is_unit: true,
        contested: &["job1/a", "job2/c"],
        ..PLAIN
    },
    Scenario {
        name: "restore",
        first: &["a.tmp", "d/e/b.tmp"],
        before: &[Before::Run(SWEEP)],
        due: &[],
        command: &["restore", "--json"],
        does: Does::Restore,
        contested: &["a.tmp", "d/e/b.tmp"],
        only: EVERYTHING,
        ..ASIDE
    },
    Scenario {
        name: "unit-restore",
        policy: "include = [\"job*\"]\nunit = \"directory\"\ndispose = \"quarantine\"\n",
        first: &["job1/a", "job1/d/b"],
        before: &[Before::Run(SWEEP)],
        due: &[],
        command: &["restore", "--json"],
        does: Does::Restore,
        is_kept_aside: true,
        is_unit: true,
        contested: &["job1/a"],
        ..PLAIN
    },
    // A file system that cannot refuse to replace.
    Scenario {
        name: "quarantine-without-noreplace",
        due: &["a.tmp"],
        contested: &["a.tmp"],
        lacks: Some(("renameat2", Errno::EINVAL)),
        ..ASIDE
    },
    Scenario {
        name: "restore-without-noreplace",
        first: &["a.tmp", "d/b.tmp"],
        before: &[Before::Run(SWEEP)],
        due: &[],
        command: &["restore", "--json"],
        does: Does::Restore,
        contested: &["a.tmp"],
        lacks: Some(("renameat2", Errno::EINVAL)),
        ..ASIDE
    },
    Scenario {
        name: "unit-restore-without-noreplace",
        policy: "include = [\"job*\"]\nunit = \"directory\"\ndispose = \"quarantine\"\n",
        first: &["job1/a"],
        before: &[Before::Run(SWEEP)],
        due: &[],
        command: &["restore", "--json"],
        does: Does::Restore,
        is_kept_aside: true,
        is_unit: true,
        contested: &["job1/a"],
        lacks: Some(("renameat2", Errno::EINVAL)),
        ..PLAIN
    },
    Scenario {
        name: "plan",
        only: EVERYTHING,
        command: &["plan", "--out", "plan.jsonl", "--jobs", "1"],
        does: Does::Plan,
        ..ASIDE
    },
    Scenario {
        name: "apply",
        due: &["a.tmp", "d/b.tmp"],
        before: &[],
        command: &["apply", "plan.jsonl", "--jobs", "1", "--json"],
        does: Does::Apply,
        contested: &["a.tmp", "d/b.tmp"],
        ..ASIDE
    },
    Scenario {
        name: "hold",
        command: &["hold", "out/a.tmp", "--for", "2d"],
        does: Does::Hold("a.tmp"),
        contested: &[],
        only: EVERYTHING,
        ..ASIDE
    },
    Scenario {
        name: "release",
        first: &["a.tmp"],
        before: &[Before::Run(&["hold", "out/a.tmp", "--for", "2d"])],
        due: &["b.tmp"],
        command: &["hold", "out/a.tmp", "--release"],
        does: Does::Release("a.tmp"),
        contested: &[],
        only: EVERYTHING,
        ..ASIDE
    },
    Scenario {
        name: "in-use",
        policy: "include = [\"*.tmp\"]\nskip_in_use = true\n",
        due: &["a.tmp"],
        contested: &["a.tmp"],
        ..PLAIN
    },
    // The first run of all: the database is made.
    Scenario { name: "history", due: &["a.tmp"], contested: &["a.tmp"], is_new: true, only: EVERYTHING, ..PLAIN },
    Scenario {
        name: "audit",
        audit: "max_size = 4096\nkeep = 2\n",
        before: &[Before::FillAudit],
        due: &["a.tmp", "b.tmp", "c.tmp"],
        contested: &["a.tmp", "c.tmp"],
        only: &["/audit.jsonl"],
        ..ASIDE
    },
    // So many that there is an index.
    Scenario {
        name: "index",
        due: &["a.tmp"],
        contested: &["a.tmp"],
        is_new: true,
        only: &["/state/index"],
        crowd: 33_000,
        ..PLAIN
    },
    Scenario {
        name: "index-read",
        before: &[Before::Run(SWEEP)],
        due: &["a.tmp"],
        contested: &["a.tmp"],
        is_new: true,
        only: &["/state/index"],
        crowd: 33_000,
        ..PLAIN
    },
];
