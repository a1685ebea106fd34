//! Checks of `[files.NAME]`.

use std::path::PathBuf;

use super::super::diagnostic::Diagnostic;
use super::super::raw::{RawAgeClock, RawDispose, RawFilePolicy, RawStamp, RawUnit};
use super::super::values::{At, Bytes, MinFree as RawMinFree, Room as Given, Space, Switch};
use super::{Check, effect, is_file_system_root};
use crate::pattern::{self, Dotfiles, Never, PatternError, Patterns};
use crate::policy::{
    AgeClock, Archives, Brakes, Depth, Dispose, EmptyDirs, FilePolicy, InUse, Indexing, Limits, Marks, MaxAge, MinFree,
    Policy, Quarantine, References, Room, RootLock, StampKind, Unit,
};

impl Check<'_> {
    pub(super) fn file_policy(&mut self, name: &At<String>, raw: &RawFilePolicy) -> Option<FilePolicy> {
        let limited = raw.keep_newest.is_some()
            || raw.max_files.is_some()
            || raw.max_total_size.is_some()
            || raw.min_free.is_some();
        self.complete(
            "files",
            name,
            &[
                ("root = \"storage/output\"", raw.root.is_some()),
                ("include = [\"*.svg\"]", raw.include.is_some()),
                ("max_age = \"24h\"", raw.max_age.is_some() || limited),
            ],
        );
        let root = self.root(raw);
        let depth = self.depth(raw);
        let unit = self.unit(raw);
        let patterns = self.patterns(raw, depth, unit);
        let max_age = self.max_age(raw);
        let limits = self.limits(raw);
        let dispose = self.dispose(raw);
        self.settling(raw);
        let empty_dirs = self.empty_dirs(raw);
        let brakes = self.brakes(raw);
        let schedule = self.schedule(raw.every.as_ref(), raw.cron.as_ref());
        Some(FilePolicy {
            rule: Policy {
                name: name.value.clone(),
                max_age,
                min_age: raw.min_age.as_ref().map(|age| age.value.0).unwrap_or_default(),
                archives: if raw.include_archives == Some(true) { Archives::Judge } else { Archives::Keep },
            },
            root: root?,
            root_may_be_missing: raw.root_may_be_missing.unwrap_or(false),
            patterns: patterns?,
            unit,
            stamp: raw.stamp.map_or(StampKind::Modified, stamp),
            depth,
            empty_dirs,
            age_clock: match raw.age_clock {
                Some(RawAgeClock::Running) => AgeClock::Running,
                Some(RawAgeClock::Wall) | None => AgeClock::Wall,
            },
            limits,
            dispose,
            in_use: if raw.skip_in_use == Some(true) { InUse::Skip } else { InUse::Ignore },
            root_lock: if raw.honour_flock == Some(true) { RootLock::Honour } else { RootLock::Ignore },
            indexing: if raw.index == Some(false) { Indexing::LookAtAll } else { Indexing::Remember },
            references: raw.keep_referenced.as_ref().map(|references| References {
                sessions: references.sessions.value.clone(),
                query: references.query.clone(),
            }),
            brakes,
            effect: effect(raw.mode),
            track: raw.track.unwrap_or(false),
            schedule,
            enabled: raw.enabled.is_none_or(|Switch(enabled)| enabled),
        })
    }

    fn root(&mut self, raw: &RawFilePolicy) -> Option<PathBuf> {
        let root = raw.root.as_ref()?;
        let path = self.path("root", root, &root.value)?;
        if is_file_system_root(&path) {
            self.refuse(
                Diagnostic::new(&root.span, "a root cannot be `/`")
                    .label("this is the whole file system")
                    .help("name the folder that holds the temporary files"),
            );
            return None;
        }
        Some(path)
    }

    fn patterns(&mut self, raw: &RawFilePolicy, depth: Depth, unit: Unit) -> Option<Patterns> {
        let include = raw.include.as_ref();
        if let Some(list) = include
            && list.value.is_empty()
        {
            self.refuse(
                Diagnostic::new(&list.span, "`include` is empty")
                    .label("the policy would never remove anything")
                    .help("list what may be removed: `[\"*.svg\"]`, or `[\"*\"]` for every file"),
            );
            return None;
        }
        let none = Vec::new();
        let lists = [
            include.map_or(&none, |list| &list.value),
            raw.exclude.as_ref().unwrap_or(&none),
            raw.archives.as_ref().unwrap_or(&none),
        ];
        let names = [List::Include, List::Exclude, List::Archives];
        let mut bad = 0;
        for (list, patterns) in names.into_iter().zip(lists) {
            bad += patterns.iter().filter(|pattern| self.is_bad_pattern(pattern, list, depth, unit)).count();
        }
        let include = include?;
        if bad > 0 {
            return None;
        }
        // With `unit = "directory"` only names are compared, and all of them are folders, so a final `/` says nothing.
        let text = |pattern: &At<String>| match unit {
            Unit::File => pattern.value.clone(),
            Unit::Directory => pattern.value.trim_end_matches('/').to_owned(),
        };
        let texts = lists.map(|list| list.iter().map(text).collect::<Vec<_>>());
        let dotfiles = if raw.dotfiles == Some(true) { Dotfiles::Match } else { Dotfiles::Leave };
        let compiled = Patterns::new(&texts[0], &texts[1], &texts[2]);
        let compiled = compiled.map(|patterns| patterns.with_dotfiles(dotfiles));
        let refuse = |(list, index, error): (&str, usize, PatternError)| {
            let list = names.into_iter().zip(lists).find(|(name, _)| name.key() == list);
            let span =
                list.and_then(|(_, patterns)| patterns.get(index)).map_or(&include.span, |pattern| &pattern.span);
            self.refuse(Diagnostic::new(span, "invalid pattern").label(error.to_string()));
        };
        compiled.map_err(refuse).ok()
    }

    fn is_bad_pattern(&mut self, pattern: &At<String>, list: List, depth: Depth, unit: Unit) -> bool {
        let Err(error) = check_pattern(&pattern.value, list, depth, unit) else { return false };
        let title = match &error {
            PatternError::Syntax(_) | PatternError::TooLarge => "invalid pattern",
            PatternError::Never(never) if never.is_a_guess() => "this pattern does not mean what it seems to",
            _ => "this pattern can never match",
        };
        let diagnostic = Diagnostic::new(&pattern.span, title).label(error.to_string());
        self.refuse(match error.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
        true
    }

    fn max_age(&mut self, raw: &RawFilePolicy) -> Option<MaxAge> {
        self.positive("max_age", raw.max_age.as_ref()?, "every file would be older than that").and_then(MaxAge::new)
    }

    /// Refuses the keys that do not go together with `unit = "directory"`.
    fn unit(&mut self, raw: &RawFilePolicy) -> Unit {
        let span = match &raw.unit {
            Some(At { value: RawUnit::File, .. }) | None => return Unit::File,
            Some(At { value: RawUnit::Directory, span }) => span,
        };
        let others = [
            ("recursive", raw.recursive == Some(true), "a directory is removed with everything in it"),
            ("max_depth", raw.max_depth.is_some(), "a directory is removed with everything in it"),
            ("skip_in_use", raw.skip_in_use == Some(true), "files in a directory are not judged one by one"),
            ("remove_empty_dirs", raw.remove_empty_dirs.is_some(), "an empty directory is judged by its own age"),
            ("track", raw.track == Some(true), "a new file makes its directory young again"),
        ];
        for (key, _, why) in others.into_iter().filter(|(_, is_given, _)| *is_given) {
            self.refuse(
                Diagnostic::new(span, format!("`unit = \"directory\"` and `{key}` cannot be combined"))
                    .label(why)
                    .help(format!("remove `{key}`")),
            );
        }
        Unit::Directory
    }

    /// The limits. Refuses a policy under which nothing could ever go.
    fn limits(&mut self, raw: &RawFilePolicy) -> Limits {
        let asks =
            raw.max_age.is_some() || raw.max_files.is_some() || raw.max_total_size.is_some() || raw.min_free.is_some();
        if let (Some(newest), false) = (&raw.keep_newest, asks) {
            self.refuse(
                Diagnostic::new(&newest.span, "`keep_newest` alone removes nothing")
                    .label("it only protects files, and no other key selects any for removal")
                    .help(format!("to keep the newest {0} and no others, write `max_files = {0}`", newest.value)),
            );
        }
        if let (Some(weight), None) = (&raw.weight, &raw.min_free) {
            self.refuse(
                Diagnostic::new(&weight.span, "`weight` needs `min_free`")
                    .label("it compares policies that share the free space of one file system")
                    .help("add `min_free = \"10%\"`, or remove this key"),
            );
        }
        let weight = raw.weight.as_ref().map_or(1.0, |weight| weight.value.0);
        Limits {
            keep_newest: raw.keep_newest.as_ref().map(|newest| newest.value),
            max_files: raw.max_files,
            max_total_size: raw.max_total_size.map(|Bytes(bytes)| bytes),
            min_free: raw.min_free.as_ref().map(|free| self.min_free(free, weight)),
        }
    }

    fn min_free(&mut self, raw: &At<RawMinFree>, weight: f64) -> MinFree {
        let RawMinFree { low, high, inodes } = &raw.value;
        let amount = |Space(room)| match room {
            Given::Percent(percent) => Room::Percent(percent),
            Given::Bytes(bytes) => Room::Amount(bytes),
        };
        let low = low.map(amount);
        let high = high.map(amount);
        let is_wrong = match (low, high) {
            (Some(Room::Percent(low)), Some(Room::Percent(high))) => high < low,
            (Some(Room::Amount(low)), Some(Room::Amount(high))) => high < low,
            (_, Some(_)) => true,
            (_, None) => false,
        };
        if is_wrong {
            self.refuse(
                Diagnostic::new(&raw.span, "the marks of `min_free` are inconsistent")
                    .label("expected two percentages or two sizes, with `high` no less than `low`"),
            );
        }
        let space = low.map(|low| Marks { low, high: high.unwrap_or(low) });
        let inodes = inodes.map(amount).map(|low| Marks { low, high: low });
        MinFree { space, inodes, weight }
    }

    fn dispose(&mut self, raw: &RawFilePolicy) -> Dispose {
        match raw.dispose {
            Some(RawDispose::Delete) | None => self.delete(raw),
            Some(RawDispose::Quarantine) => self.quarantine(raw),
        }
    }

    fn delete(&mut self, raw: &RawFilePolicy) -> Dispose {
        let given = [
            ("quarantine_for", raw.quarantine_for.as_ref().map(|key| &key.span)),
            ("quarantine_max_size", raw.quarantine_max_size.as_ref().map(|key| &key.span)),
        ];
        for (key, span) in given {
            let Some(span) = span else { continue };
            self.refuse(
                Diagnostic::new(span, format!("`{key}` needs `dispose = \"quarantine\"`"))
                    .label("without it, nothing is quarantined")
                    .help("add `dispose = \"quarantine\"`, or remove this key"),
            );
        }
        Dispose::Delete
    }

    fn quarantine(&mut self, raw: &RawFilePolicy) -> Dispose {
        let keep_for = match &raw.quarantine_for {
            None => Quarantine::KEEP_FOR,
            Some(given) => self
                .positive("quarantine_for", given, "everything would be deleted at once")
                .unwrap_or(Quarantine::KEEP_FOR),
        };
        let max_bytes = raw.quarantine_max_size.as_ref().map(|size| size.value.0);
        Dispose::Quarantine(Quarantine { keep_for, max_bytes })
    }

    fn settling(&mut self, raw: &RawFilePolicy) {
        let (Some(min), Some(max)) = (&raw.min_age, &raw.max_age) else { return };
        if min.value.0 > max.value.0 {
            self.refuse(
                Diagnostic::new(&min.span, "`min_age` is longer than `max_age`")
                    .label("younger files are never touched")
                    .context(&max.span, "older files may be removed")
                    .help("make `max_age` the longer one"),
            );
        }
    }

    fn depth(&mut self, raw: &RawFilePolicy) -> Depth {
        let recursive = raw.recursive.unwrap_or(false);
        let Some(depth) = &raw.max_depth else {
            return if recursive { Depth::UNLIMITED } else { Depth::FLAT };
        };
        if depth.value == 0 {
            self.refuse(
                Diagnostic::new(&depth.span, "`max_depth` is zero")
                    .label("expected at least 1 (only files directly in the root)"),
            );
        } else if !recursive {
            self.refuse(needs_recursive(&depth.span, "max_depth"));
        }
        Depth(depth.value)
    }

    fn empty_dirs(&mut self, raw: &RawFilePolicy) -> EmptyDirs {
        let Some(At { value: true, span }) = &raw.remove_empty_dirs else { return EmptyDirs::Keep };
        if !raw.recursive.unwrap_or(false) {
            self.refuse(needs_recursive(span, "remove_empty_dirs"));
        } else if raw.max_age.is_none() {
            self.refuse(
                Diagnostic::new(span, "`remove_empty_dirs` needs `max_age`")
                    .label("empty folders are removed by age; limits count only files")
                    .help("add `max_age`, or remove this key"),
            );
        }
        EmptyDirs::Judge
    }

    fn brakes(&mut self, raw: &RawFilePolicy) -> Brakes {
        if let Some(percent) = &raw.max_removal_percent
            && !(1..=100).contains(&percent.value)
        {
            self.refuse(
                Diagnostic::new(&percent.span, "`max_removal_percent` is not a percentage").label("expected 1 to 100"),
            );
        }
        Brakes {
            max_removals: raw.max_removals,
            max_removal_percent: raw.max_removal_percent.as_ref().map(|percent| percent.value),
            max_consecutive_errors: raw.max_consecutive_errors.map(|max| u32::try_from(max).unwrap_or(u32::MAX).max(1)),
            max_runtime: (raw.max_runtime.as_ref())
                .and_then(|time| self.positive("max_runtime", time, "the run would end before it starts")),
        }
    }
}

/// Which list a pattern stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Include,
    Exclude,
    Archives,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
            Self::Archives => "archives",
        }
    }
}

/// Whether a pattern can match anything that this policy looks at.
fn check_pattern(text: &str, list: List, depth: Depth, unit: Unit) -> Result<(), PatternError> {
    if unit == Unit::Directory {
        pattern::check(text)?;
        let name = text.trim_end_matches('/');
        let is_below = !name.is_empty() && pattern::least_levels(name) > 1;
        return if is_below { Err(PatternError::Never(Never::BelowUnit)) } else { Ok(()) };
    }
    match list {
        List::Include => pattern::check_include(text)?,
        // A protecting pattern that reaches deeper than the policy looks does no harm: nothing is removed there.
        List::Exclude | List::Archives => return pattern::check(text),
    }
    let levels = pattern::least_levels(text);
    // `max_depth = 0` is reported by itself.
    if levels > depth.0.max(1) {
        return Err(PatternError::Never(Never::TooDeep { levels, depth: depth.0 }));
    }
    Ok(())
}

fn stamp(raw: RawStamp) -> StampKind {
    match raw {
        RawStamp::Mtime => StampKind::Modified,
        RawStamp::Ctime => StampKind::Changed,
        RawStamp::Atime => StampKind::Accessed,
        RawStamp::Btime => StampKind::Born,
        RawStamp::Newest => StampKind::Newest,
    }
}

fn needs_recursive(span: &std::ops::Range<usize>, key: &str) -> Diagnostic {
    Diagnostic::new(span, format!("`{key}` needs `recursive = true`"))
        .label("without it, only files directly in the root are scanned")
        .help("add `recursive = true`, or remove this key")
}
