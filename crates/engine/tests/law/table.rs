//! The law: what each gate answers, what each run leaves behind, and every exception with its reason.
//!
//! Nothing here runs anything. A new way, gate or trace does not compile until it has its line in the matches below.

/// Declares an enum that knows all its variants, so that none is left out of the table.
macro_rules! listed {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

listed! {
    /// How somebody gets files removed, or back.
    Way {
        /// A sweep of all policies.
        SweepAll,
        /// A sweep of one policy by its name.
        SweepNamed,
        /// A plan that a person has read, carried out.
        PlanApply,
        /// The service, when the moment of a tracked file has come.
        Deadline,
        /// The service, when less is free than `min_free` asks for.
        Pressure,
        /// A call of the HTTP interface; its cells are tried beside the server's tests.
        Http,
        /// Bringing back what lies in quarantine.
        Restore,
    }
}

listed! {
    /// What may stand between a policy and its files.
    Gate {
        /// Nothing does. Names are still referred to, and more of them than before.
        Open,
        /// A protecting key was removed since the last run.
        ChangedRule,
        /// The root lies on another file system than in the last run.
        OtherFileSystem,
        /// The clock ran ahead since the last run.
        ClockJump,
        /// What the clocks said in earlier runs is lost.
        ClockLost,
        /// Promises were made, and are gone.
        LostPromises,
        /// Promises cannot be read.
        DamagedPromises,
        /// Others may look into the quarantine.
        OpenQuarantine,
        /// `max_removal_percent` is exceeded.
        MaxRemovalPercent,
        /// `max_removals` is exceeded.
        MaxRemovals,
        /// Another sweep of the policy is at work.
        PolicyLock,
        /// Somebody has locked the root, and `honour_flock` is set.
        RootLock,
        /// The database of `keep_referenced` does not answer.
        ReferencesAway,
        /// It answers a tenth of the names of the last run.
        ReferencesFewer,
        /// It answers none.
        ReferencesEmpty,
    }
}

listed! {
    /// What a run is to leave behind.
    Trace {
        /// Status and message of the report, and what is gone from the disk.
        Report,
        /// One entry in the history, with the same id, status and trigger.
        History,
        /// An audit line for each file, with the id of the run.
        AuditOfFiles,
        /// One audit line for what is told as a sum at the end: what was deleted for good, what was brought back.
        AuditOfEnd,
        /// The log of removals has the same as the audit log.
        Removals,
        /// The report says that the audit log lacks lines.
        AuditFailureInReport,
        /// So does the report that the history keeps.
        AuditFailureInHistory,
        /// The rule and the place of the root, for the next run to compare with.
        Rule,
        /// How many names are still referred to, for the next run to compare with.
        References,
        /// What the clocks said.
        Clock,
        /// Nothing in `running/`: that a run began is taken back when it ends.
        MarkGone,
        /// Whoever watches is told how it ended, with the same words.
        Event,
    }
}

/// How much is gone, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Nothing,
    /// Exactly so many.
    Few(u64),
    /// Everything that is due.
    All,
}

/// What a report has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status of the policy, and why it was skipped.
    pub(crate) status: &'static str,
    pub(crate) gone: Gone,
    /// A part of the message; empty where there is none.
    pub(crate) says: &'static str,
}

/// One line of the table that says otherwise, and why.
pub(crate) struct Exception {
    pub(crate) at: At,
    pub(crate) instead: Instead,
    pub(crate) why: &'static str,
}

/// Which gates an exception is about.
pub(crate) enum At {
    Gates(&'static [Gate]),
    /// All at which nothing goes.
    Closed,
    Everywhere,
}

pub(crate) enum Instead {
    Answers(Answer),
    Leaves(Trace),
    LeavesNothing(Trace),
}

const GOES: Answer = Answer { status: "ok", gone: Gone::All, says: "" };

const fn held(says: &'static str) -> Answer {
    Answer { status: "held", gone: Gone::Nothing, says }
}

const fn refused(says: &'static str) -> Answer {
    Answer { status: "refused", gone: Gone::Nothing, says }
}

/// What a policy answers at a gate, whoever asks.
pub(crate) const fn law(gate: Gate) -> Answer {
    match gate {
        Gate::Open => GOES,
        Gate::ChangedRule => held("exclude was removed"),
        Gate::OtherFileSystem => held("lies on another file system"),
        Gate::ClockJump => held("ran ahead of the machine's uptime"),
        Gate::ClockLost => held("nothing tells what the clock said"),
        Gate::LostPromises => held("nothing is deleted"),
        Gate::DamagedPromises => held("promises.jsonl"),
        Gate::OpenQuarantine => held("chmod 700"),
        Gate::MaxRemovalPercent => held("more than max_removal_percent = 50"),
        Gate::MaxRemovals => Answer { status: "ok", gone: Gone::Few(3), says: "max_removals is reached" },
        Gate::PolicyLock => {
            Answer { status: "skipped locked", gone: Gone::Nothing, says: "another sweep of this policy is running" }
        }
        Gate::RootLock => Answer { status: "skipped root_locked", gone: Gone::Nothing, says: "lock" },
        Gate::ReferencesAway => Answer { status: "skipped database_away", gone: Gone::Nothing, says: "app.db" },
        Gate::ReferencesFewer => held("answers only 20 names"),
        Gate::ReferencesEmpty => held("answers no names at all"),
    }
}

/// At these a restore goes on.
const NOT_REFUSED: &[Gate] = &[
    Gate::Open,
    Gate::ChangedRule,
    Gate::OtherFileSystem,
    Gate::ClockJump,
    Gate::ClockLost,
    Gate::LostPromises,
    Gate::MaxRemovalPercent,
    Gate::MaxRemovals,
    Gate::RootLock,
    Gate::ReferencesAway,
    Gate::ReferencesFewer,
    Gate::ReferencesEmpty,
];

/// Whether a run leaves a trace, whoever started it.
const fn leaves(gate: Gate, trace: Trace, takes: bool) -> bool {
    match trace {
        Trace::Report | Trace::History | Trace::MarkGone | Trace::Event => true,
        // Where no line is to be written, none is lacked.
        Trace::AuditOfFiles
        | Trace::AuditOfEnd
        | Trace::Removals
        | Trace::AuditFailureInReport
        | Trace::AuditFailureInHistory
        | Trace::Rule => takes,
        // A held run never moves what answers are compared with.
        Trace::References => takes && matches!(gate, Gate::Open),
        // A clock that is not believed is never what the next run compares with.
        Trace::Clock => !matches!(gate, Gate::ClockJump | Gate::ClockLost),
    }
}

/// Where a way is an exception to the law.
pub(crate) const fn exceptions(way: Way) -> &'static [Exception] {
    match way {
        Way::SweepAll | Way::SweepNamed | Way::Http => &[],
        Way::PlanApply => OF_PLANS,
        Way::Deadline => OF_DEADLINES,
        Way::Pressure => OF_PRESSURE,
        Way::Restore => OF_RESTORES,
    }
}

const OF_PLANS: &[Exception] = &[
    Exception {
        at: At::Gates(&[Gate::ClockLost]),
        instead: Instead::Answers(GOES),
        why: "what it names was due by the clock of the time when a person read it",
    },
    Exception {
        at: At::Gates(&[Gate::ChangedRule, Gate::MaxRemovalPercent]),
        instead: Instead::Answers(GOES),
        why: "a person has read what goes by this rule, and how much it is",
    },
    Exception {
        at: At::Gates(&[Gate::MaxRemovals]),
        instead: Instead::Answers(Answer { status: "ok", gone: Gone::Few(3), says: "" }),
        why: "the plan names no more than one run may take, so nothing is left over",
    },
    Exception {
        at: At::Gates(&[Gate::Open]),
        instead: Instead::LeavesNothing(Trace::References),
        why: "it is about the files that it names, and no measure for a run over all",
    },
];

const OF_DEADLINES: &[Exception] = &[
    Exception {
        at: At::Gates(&[Gate::PolicyLock]),
        instead: Instead::Answers(GOES),
        why: "deadlines do not wait behind a sweep of hours; an unlink counts for whoever made it",
    },
    Exception {
        at: At::Closed,
        instead: Instead::LeavesNothing(Trace::History),
        why: "it is tried again every minute; `held`, the log and /readyz say so, and no entry a minute",
    },
    Exception {
        at: At::Gates(&[Gate::ClockJump, Gate::ClockLost]),
        instead: Instead::LeavesNothing(Trace::Clock),
        why: "a service witnesses the clock that it starts by, but none that is doubted",
    },
    Exception {
        at: At::Gates(&[
            Gate::LostPromises,
            Gate::DamagedPromises,
            Gate::OpenQuarantine,
            Gate::RootLock,
            Gate::ReferencesAway,
            Gate::ReferencesFewer,
            Gate::ReferencesEmpty,
        ]),
        instead: Instead::Leaves(Trace::Rule),
        why: "the start of the service compares the rule and remembers it, where no sweep ever runs",
    },
];

const OF_PRESSURE: &[Exception] = &[Exception {
    at: At::Gates(&[Gate::MaxRemovals]),
    instead: Instead::Answers(Answer { status: "partial", gone: Gone::Few(3), says: "max_removals is reached" }),
    why: "three files do not meet `min_free`, and a limit that is not met is said",
}];

const OF_RESTORES: &[Exception] = &[
    Exception {
        at: At::Gates(NOT_REFUSED),
        instead: Instead::Answers(GOES),
        why: "the gates stand before removals; undo is never what they hold",
    },
    Exception {
        at: At::Gates(&[Gate::PolicyLock]),
        instead: Instead::Answers(refused("a sweep of this policy is running; try again when it has ended")),
        why: "a person waits for the answer, and is told to try again",
    },
    Exception {
        at: At::Gates(&[Gate::DamagedPromises]),
        instead: Instead::Answers(refused("promises.jsonl")),
        why: "what comes back is held first, or the next sweep would take it again",
    },
    Exception {
        at: At::Gates(&[Gate::OpenQuarantine]),
        instead: Instead::Answers(refused("chmod 700")),
        why: "what others could have put there is not brought back",
    },
    Exception { at: At::Closed, instead: Instead::LeavesNothing(Trace::History), why: "what was refused never began" },
    Exception {
        at: At::Closed,
        instead: Instead::LeavesNothing(Trace::Event),
        why: "what was refused has brought nothing back that could be told",
    },
    Exception {
        at: At::Everywhere,
        instead: Instead::LeavesNothing(Trace::Rule),
        why: "it judges nothing by the rule",
    },
    Exception {
        at: At::Everywhere,
        instead: Instead::LeavesNothing(Trace::References),
        why: "it asks nobody what is still referred to",
    },
    Exception {
        at: At::Everywhere,
        instead: Instead::LeavesNothing(Trace::Clock),
        why: "it compares no age with the clock, so it is no witness of it",
    },
];

impl At {
    fn is_at(&self, gate: Gate, gone: Gone) -> bool {
        match self {
            Self::Gates(gates) => gates.contains(&gate),
            Self::Closed => gone == Gone::Nothing,
            Self::Everywhere => true,
        }
    }
}

/// What is expected of a way at a gate, and why where that is an exception.
pub(crate) fn answer(way: Way, gate: Gate) -> (Answer, Option<&'static str>) {
    let mut found = exceptions(way).iter().filter_map(|exception| match exception.instead {
        Instead::Answers(answer) if exception.at.is_at(gate, law(gate).gone) => Some((answer, Some(exception.why))),
        _ => None,
    });
    found.next().unwrap_or((law(gate), None))
}

/// Whether a way leaves a trace at a gate, and why where that is an exception.
pub(crate) fn trace(way: Way, gate: Gate, trace: Trace) -> (bool, Option<&'static str>) {
    let gone = answer(way, gate).0.gone;
    let mut found = exceptions(way).iter().filter_map(|exception| {
        let leaves = match exception.instead {
            Instead::Leaves(of) if of == trace => true,
            Instead::LeavesNothing(of) if of == trace => false,
            _ => return None,
        };
        exception.at.is_at(gate, gone).then_some((leaves, Some(exception.why)))
    });
    found.next().unwrap_or((leaves(gate, trace, gone != Gone::Nothing), None))
}
