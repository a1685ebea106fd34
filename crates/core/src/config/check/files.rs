//! Checks of `[files.NAME]`.

use std::path::PathBuf;

use super::super::diagnostic::Diagnostic;
use super::super::raw::{RawAgeClock, RawFilePolicy, RawStamp};
use super::super::values::{At, Switch};
use super::{Check, effect, is_file_system_root};
use crate::pattern::{self, PatternError, Patterns};
use crate::policy::{AgeClock, Archives, Brakes, Depth, EmptyDirs, FilePolicy, MaxAge, Policy, StampKind};

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
        let patterns = self.patterns(raw);
        let max_age = self.max_age(raw);
        self.settling(raw);
        let depth = self.depth(raw);
        let empty_dirs = self.empty_dirs(raw);
        let brakes = self.brakes(raw);
        let schedule = self.schedule(raw.every.as_ref(), raw.cron.as_ref());
        Some(FilePolicy {
            rule: Policy {
                name: name.value.clone(),
                max_age: max_age?,
                min_age: raw.min_age.as_ref().map(|age| age.value.0).unwrap_or_default(),
                archives: if raw.include_archives == Some(true) { Archives::Judge } else { Archives::Keep },
            },
            root: root?,
            patterns: patterns?,
            stamp: raw.stamp.map_or(StampKind::Modified, stamp),
            depth,
            empty_dirs,
            age_clock: if matches!(raw.age_clock, Some(RawAgeClock::Running)) {
                AgeClock::Running
            } else {
                AgeClock::Wall
            },
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

    fn patterns(&mut self, raw: &RawFilePolicy) -> Option<Patterns> {
        let include = raw.include.as_ref();
        if let Some(list) = include
            && list.value.is_empty()
        {
            self.refuse(
                Diagnostic::new(&list.span, "`include` is empty")
                    .label("the policy would never remove anything")
                    .help("name what may go: `[\"*.svg\"]`, or `[\"*\"]` for every file"),
            );
            return None;
        }
        let none = Vec::new();
        let lists = [
            include.map_or(&none, |list| &list.value),
            raw.exclude.as_ref().unwrap_or(&none),
            raw.archives.as_ref().unwrap_or(&none),
        ];
        let bad = lists.into_iter().flatten().filter(|pattern| self.is_bad_pattern(pattern)).count();
        let include = include?;
        if bad > 0 {
            return None;
        }
        let texts = lists.map(|list| list.iter().map(|pattern| pattern.value.as_str()).collect::<Vec<_>>());
        let compiled = Patterns::new(&texts[0], &texts[1], &texts[2]);
        compiled.map_err(|(_, _, error)| self.refuse(too_large(include, &error))).ok()
    }

    fn is_bad_pattern(&mut self, pattern: &At<String>) -> bool {
        let Err(error) = pattern::check(&pattern.value) else { return false };
        let diagnostic = Diagnostic::new(&pattern.span, "this is no pattern").label(error.to_string());
        self.refuse(match error {
            PatternError::Syntax(text) if text.starts_with("unclosed character class") => {
                diagnostic.help("write `[[]` to mean the character `[` itself")
            }
            _ => diagnostic,
        });
        true
    }

    fn max_age(&mut self, raw: &RawFilePolicy) -> Option<MaxAge> {
        self.positive("max_age", raw.max_age.as_ref()?, "every file would be older than that").and_then(MaxAge::new)
    }

    fn settling(&mut self, raw: &RawFilePolicy) {
        let (Some(min), Some(max)) = (&raw.min_age, &raw.max_age) else { return };
        if min.value.0 > max.value.0 {
            self.refuse(
                Diagnostic::new(&min.span, "`min_age` is longer than `max_age`")
                    .label("younger files are never touched")
                    .context(&max.span, "older files may go")
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
                    .label("expected at least 1, which is the root's own files"),
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
        }
        EmptyDirs::Judge
    }

    fn brakes(&mut self, raw: &RawFilePolicy) -> Brakes {
        if let Some(percent) = &raw.max_removal_percent
            && !(1..=100).contains(&percent.value)
        {
            self.refuse(
                Diagnostic::new(&percent.span, "`max_removal_percent` is no percentage").label("expected 1 to 100"),
            );
        }
        Brakes {
            max_removals: raw.max_removals,
            max_removal_percent: raw.max_removal_percent.as_ref().map(|percent| percent.value),
            max_consecutive_errors: raw.max_consecutive_errors.map(|max| u32::try_from(max).unwrap_or(u32::MAX).max(1)),
        }
    }
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
        .label("without it, only the root's own files are looked at")
        .help("add `recursive = true`, or remove this key")
}

fn too_large(include: &At<Vec<At<String>>>, error: &PatternError) -> Diagnostic {
    Diagnostic::new(&include.span, "these patterns are too large").label(error.to_string())
}
