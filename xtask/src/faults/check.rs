//! What has to be true after every fault, and once a run has gone through without one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::scenario::{Before, Does, Scenario};
use super::tracer::Ended;
use super::world::{Found, World, Written, kept, old};

/// Everything that is known of a moment.
pub(crate) struct Moment<'a> {
    pub(crate) scenario: &'static Scenario,
    pub(crate) world: &'a World,
    pub(crate) found: &'a Found,
    pub(crate) written: &'a Written,
    /// What somebody else wrote between the last look and the removal: nobody promises that it stays.
    pub(crate) is_in_window: bool,
}

/// What the program said in the end.
pub(crate) struct Said {
    pub(crate) ended: Ended,
    pub(crate) report: Option<Value>,
    pub(crate) errors: String,
}

impl Said {
    pub(crate) fn new(ended: Ended, out: &str, errors: String) -> Self {
        Self { ended, report: serde_json::from_str(out).ok(), errors }
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.ended == Ended::Code(0)
    }
}

impl Moment<'_> {
    /// What has to be true at every moment: nothing young or promised is lost, nothing lies in quarantine without its note,
    /// and nothing that can come back is lost either.
    pub(crate) fn always(&self, wrong: &mut Vec<String>) {
        let Self { scenario, found, written, .. } = self;
        for (says, path) in kept(scenario) {
            let is_there = found.home.get(&says).is_some_and(|places| *places == [PathBuf::from(path)]);
            if !is_there {
                wrong.push(format!("{path} had to stay, and is not there any more"));
            }
        }
        for says in &written.young {
            if !self.may_be(found.places(says)) && !self.is_in_window {
                wrong.push(format!("what was written meanwhile ({says}) is found {} times", found.places(says)));
            }
        }
        for (paths, is_lost_for_good) in [(scenario.due, !scenario.is_kept_aside), (scenario.first, self.is_aged())] {
            for path in paths.iter().filter(|path| !self.is_written(path)) {
                let places = found.places(&old(path));
                if !(self.may_be(places) || (places == 0 && is_lost_for_good)) {
                    wrong.push(format!("{path} is found {places} times"));
                }
                let is_elsewhere = places > 0 && !found.is_home(path) && !found.is_aside(&old(path));
                if is_elsewhere && !self.is_group_written(path) {
                    wrong.push(format!("{path} is neither in its place nor in quarantine"));
                }
            }
        }
        for ((run, number), aside) in &found.aside {
            match &aside.noted {
                None => wrong.push(format!("{run}/{number} lies in quarantine without a note")),
                Some(noted) => {
                    for path in aside.says.iter().filter_map(|says| says.strip_prefix("old ")) {
                        let group = self.group(path);
                        // What had to lie beside its name is due under that name.
                        if group != noted && !noted.starts_with(&format!("{group}.kept-by-cleanup-")) {
                            wrong.push(format!("the note of {path} says {noted}"));
                        }
                    }
                }
            }
        }
    }

    /// Once in each place, or, where the file system cannot refuse to replace, in both for a moment.
    fn may_be(&self, places: usize) -> bool {
        places == 1 || (places == 2 && self.scenario.lacks.is_some())
    }

    pub(crate) fn is_aged(&self) -> bool {
        self.scenario.before.contains(&Before::Age)
    }

    /// Whether what was there first lies in quarantine when the command begins.
    fn is_first_aside(&self) -> bool {
        self.scenario.before.iter().any(|before| matches!(before, Before::Run(["sweep", ..])))
    }

    /// Whether somebody else has written it, or over it.
    fn is_written(&self, path: &str) -> bool {
        let says = old(path);
        self.written.young.contains(&says) || self.written.replaced.contains(&says)
    }

    /// Whether somebody else has written something in what goes with it as one.
    fn is_group_written(&self, path: &str) -> bool {
        let all = [self.scenario.due, self.scenario.first];
        let mut in_group = all.into_iter().flatten().filter(|other| self.group(other) == self.group(path));
        in_group.any(|path| self.is_written(path)) || self.scenario.is_unit && !self.written.young.is_empty()
    }

    /// Whether whole directories are moved aside only to be deleted.
    fn is_deleted_whole(&self) -> bool {
        self.scenario.is_unit && !self.scenario.is_kept_aside
    }

    /// What goes as one: a file, or a whole directory.
    fn group<'p>(&self, path: &'p str) -> &'p str {
        if self.scenario.is_unit { path.split('/').next().unwrap_or(path) } else { path }
    }

    fn groups(&self, paths: &[&'static str]) -> BTreeSet<&'static str> {
        paths.iter().map(|path| self.group(path)).collect()
    }

    /// What the command said is what it did.
    pub(crate) fn said(&self, said: &Said, before: &Found, wrong: &mut Vec<String>) {
        let Self { scenario, found, written, .. } = self;
        // Whoever gets no memory may give up.
        if said.errors.contains("panicked") && !said.errors.contains("Cannot allocate memory") {
            wrong.push(format!("it panicked: {}", said.errors));
        }
        if let Ended::Code(code) = said.ended
            && !matches!(code, 0..=4 | 69 | 75 | 78)
        {
            wrong.push(format!("it ended with {code}"));
        }
        let left: Vec<&str> =
            scenario.due.iter().copied().filter(|path| found.is_home(path) && !self.is_group_written(path)).collect();
        let Some(report) = &said.report else {
            if said.is_fine() && matches!(scenario.does, Does::Sweep | Does::Apply | Does::Restore) {
                wrong.push("it ended well without a report".to_owned());
            }
            return;
        };
        if scenario.does == Does::Restore {
            return self.said_of_restore(said, report, before, wrong);
        }
        if !matches!(scenario.does, Does::Sweep | Does::Apply) {
            return;
        }
        if said.is_fine() && !left.is_empty() {
            wrong.push(format!("{} stayed without a word", left.join(", ")));
        }
        let policy = &report["policies"][0];
        let count = |name: &str| policy[name].as_u64().unwrap_or(u64::MAX);
        let errors = policy["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let say = |parts: [&str; 2]| {
            let has =
                |error: &&Value| error["error"].as_str().is_some_and(|text| parts.iter().all(|it| text.contains(it)));
            errors.iter().filter(has).count() as u64
        };
        // What could not go back, less what the same run has brought back a moment later.
        let stays = say(["stays in quarantine", ""]) - say(["stays in quarantine", "not deleted"]);
        let back = say(["not deleted", "back in its place"]) + say(["not deleted", "beside it"]);
        let stuck = (stays + say(["not all of it could be deleted", ""])).saturating_sub(back);
        let came = found.aside.keys().filter(|key| !before.aside.contains_key(*key)).count() as u64;
        let went = before.aside.keys().filter(|key| !found.aside.contains_key(*key)).count() as u64;
        let (quarantined, purged) = (count("quarantined"), count("purged"));
        // What got stuck in being deleted may be deleted a moment later, as something that lay in quarantine.
        let is_right = if self.is_deleted_whole() {
            (came + purged, went) == (quarantined + stuck, 0)
        } else {
            (came, went) == (quarantined + stuck, purged)
        };
        if !is_right {
            wrong.push(format!(
                "{came} came into quarantine and {went} went; reported are {quarantined} and {purged}, {stuck} stuck"
            ));
        }
        let is_gone = |group: &&&str| {
            let mut files = scenario.due.iter().filter(|path| self.group(path) == **group);
            files.all(|path| found.places(&old(path)) == 0)
        };
        let removed = self.groups(scenario.due).iter().filter(is_gone).count();
        let reported = count("removed") + if self.is_deleted_whole() { purged } else { 0 };
        if written.replaced.is_empty() && !self.is_in_window && removed as u64 != reported {
            wrong.push(format!("{removed} were removed, and {reported} are reported"));
        }
        if !scenario.is_unit && written.young.is_empty() {
            let gone = before.folders.keys().filter(|path| !found.folders.contains_key(*path)).count();
            if gone as u64 != count("dirs_removed") {
                wrong.push(format!("{gone} folders went, and {} are reported", count("dirs_removed")));
            }
        }
        let run = report["run_id"].as_str().unwrap_or_default();
        let notes = report["notes"].as_array().map_or(&[][..], Vec::as_slice);
        let lacks = notes.iter().any(|note| note.as_str().is_some_and(|note| note.contains("the audit log")));
        if !lacks {
            let audited = self.world.audited(run);
            let lines = |action: &str| audited.iter().filter(|(it, _)| it == action).count() as u64;
            let removed = count("removed") + count("dirs_removed");
            for (action, count) in [("removed", removed), ("quarantined", count("quarantined"))] {
                if lines(action) != count {
                    wrong.push(format!("the audit log has {} lines of {count} {action}", lines(action)));
                }
            }
        }
    }

    fn said_of_restore(&self, said: &Said, report: &Value, before: &Found, wrong: &mut Vec<String>) {
        let Self { scenario, found, .. } = self;
        let groups = self.groups(scenario.first);
        let is_home = |group: &&&str| {
            let mut files = scenario.first.iter().filter(|path| self.group(path) == **group);
            files.all(|path| !self.is_written(path) && found.is_home(path) && !before.is_home(path))
        };
        let came = groups.iter().filter(is_home).count();
        let reported = report["restored"].as_u64().unwrap_or(u64::MAX);
        if self.written.young.is_empty() && came as u64 != reported {
            wrong.push(format!("{came} came back, and {reported} are reported"));
        }
        if said.is_fine() && self.written.young.is_empty() && came != groups.len() {
            wrong.push(format!("{came} of {} came back, without a word", groups.len()));
        }
    }

    /// What has to be true after a plain sweep.
    pub(crate) fn in_the_end(&self, said: &Said, is_held: Option<bool>, wrong: &mut Vec<String>) {
        let Self { scenario, found, written, .. } = self;
        let is_alone = written.young.is_empty();
        let may_be_unfinished = !is_alone && said.ended == Ended::Code(3);
        if !said.is_fine() && !may_be_unfinished {
            let report = said.report.as_ref().map_or_else(String::new, |report| {
                format!("{} {} {}", report["policies"][0]["message"], report["policies"][0]["errors"], report["notes"])
            });
            wrong.push(format!("the next sweep ended with {:?}: {report}{}", said.ended, said.errors));
        }
        let promised = match scenario.does {
            Does::Hold(path) | Does::Release(path) => Some(path),
            _ => None,
        };
        let is_restored = scenario.does == Does::Restore;
        let first = if self.is_first_aside() { &[] } else { scenario.first };
        for path in scenario.due.iter().chain(first).copied().filter(|path| !self.is_group_written(path)) {
            let places = found.places(&old(path));
            let is_right = if promised == Some(path) && is_held != Some(false) {
                is_held.is_none() || found.is_home(path)
            } else if scenario.is_kept_aside {
                found.is_aside(&old(path))
            } else {
                places == 0
            };
            if !is_right {
                wrong.push(format!("after the next sweep, {path} is {}", self.place(path)));
            }
        }
        for path in scenario.first.iter().filter(|_| self.is_first_aside()).filter(|path| !self.is_group_written(path))
        {
            let is_right = if is_restored {
                found.is_home(path) || !is_alone
            } else if self.is_aged() {
                found.places(&old(path)) == 0
            } else {
                found.is_aside(&old(path))
            };
            if !is_right {
                wrong.push(format!("after the next sweep, {path} is {}", self.place(path)));
            }
        }
        self.folders_are_as_they_were(wrong);
        if is_alone && !found.leftovers.is_empty() {
            wrong.push(format!("left behind: {:?}", found.leftovers));
        }
    }

    fn place(&self, path: &str) -> &'static str {
        let says = old(path);
        match (self.found.is_home(path), self.found.is_aside(&says), self.found.places(&says)) {
            (true, true, _) => "in its place and in quarantine",
            (true, ..) => "in its place",
            (_, true, _) => "in quarantine",
            (_, _, 0) => "nowhere",
            _ => "elsewhere",
        }
    }

    /// Nobody has more rights in a folder than before, nor fewer.
    fn folders_are_as_they_were(&self, wrong: &mut Vec<String>) {
        let Self { scenario, found, written, .. } = self;
        for path in scenario.due.iter().chain(scenario.first).filter(|_| written.young.is_empty()) {
            for folder in Path::new(path).ancestors().skip(1) {
                let was = self.world.like_before();
                if let Some(is) = found.folders.get(folder).filter(|is| **is != was) {
                    wrong.push(format!("{} came back as {is:?}, and was {was:?}", folder.display()));
                }
            }
        }
    }

    /// What has to be true once everything was brought back.
    pub(crate) fn back(&self, wrong: &mut Vec<String>) {
        let Self { scenario, found, written, .. } = self;
        if !written.young.is_empty() {
            return;
        }
        let gone = if self.is_aged() { &[] } else { scenario.first };
        for path in scenario.due.iter().chain(gone) {
            if !found.is_home(path) || found.is_aside(&old(path)) {
                wrong.push(format!("after a restore, {path} is {}", self.place(path)));
            }
        }
        self.folders_are_as_they_were(wrong);
        if !found.aside.is_empty() || !found.leftovers.is_empty() {
            wrong.push(format!("after a restore there is still {:?} {:?}", found.aside, found.leftovers));
        }
    }
}
