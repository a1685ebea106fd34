//! What was seen since the memory was last asked: by runs, and by the service between them.

use std::collections::VecDeque;

use cleanup_core::report::{Finding, FindingCode, FoundBy, Level, Report, RunStatus, Silence};

/// How many runs are kept until they are taken in. Beyond that the oldest is dropped: what it found is found again by
/// the next run, or is over.
const MOST: usize = 1000;

/// What runs and the service saw, in its order.
#[derive(Clone, Debug, Default)]
pub struct Look {
    steps: VecDeque<Step>,
    /// Whether a run ended well that is to be reported by a ping.
    pub ping: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Run { run_id: String, found: Vec<Finding>, silence: Silence },
    Service { found: Vec<Finding> },
}

impl Look {
    /// Adds a run. Dry runs change nothing, so they tell nothing.
    pub fn ran(&mut self, report: &Report) {
        if !report.dry_run {
            let (run_id, found) = (report.run_id.clone(), report.findings.clone());
            self.add(Step::Run { run_id, found, silence: report.silence() });
        }
    }

    /// Has a ping follow, if a run ended well: nothing of it failed or was held back, and it found nothing that does not
    /// work until somebody has done something.
    pub fn ping_after(&mut self, report: &Report) {
        let is_good = report.status == RunStatus::Ok && report.findings.iter().all(|it| it.level < Level::Error);
        self.ping |= is_good && !report.dry_run;
    }

    /// Adds what the service itself finds now: all of it.
    pub fn service_finds(&mut self, found: Vec<Finding>) {
        // Only the newest of two in a row says anything.
        if let Some(Step::Service { found: before }) = self.steps.back_mut() {
            *before = found;
        } else {
            self.add(Step::Service { found });
        }
    }

    /// Puts what was seen before in front.
    pub fn after(&mut self, mut earlier: Self) {
        earlier.steps.append(&mut self.steps);
        self.steps = earlier.steps;
        self.ping |= earlier.ping;
        self.bound();
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.ping
    }

    pub(crate) fn into_steps(self) -> impl Iterator<Item = Step> {
        self.steps.into_iter()
    }

    fn add(&mut self, step: Step) {
        self.steps.push_back(step);
        self.bound();
    }

    fn bound(&mut self) {
        while self.steps.len() > MOST {
            self.steps.pop_front();
        }
    }
}

impl Step {
    pub(crate) fn found(&self) -> &[Finding] {
        match self {
            Self::Run { found, .. } | Self::Service { found } => found,
        }
    }

    /// The run that found it, if it was one.
    pub(crate) fn run_id(&self) -> Option<&str> {
        match self {
            Self::Run { run_id, .. } => Some(run_id),
            Self::Service { .. } => None,
        }
    }

    /// Whether a finding is over, unless it was found again.
    pub(crate) fn ends(&self, code: FindingCode, policy: Option<&str>) -> bool {
        match self {
            Self::Run { silence, .. } => silence.ends(code, policy),
            // Whether a root is there is asked between runs, too.
            Self::Service { .. } => code.found_by() == FoundBy::Service || code == FindingCode::RootMissing,
        }
    }
}
