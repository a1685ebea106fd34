//! Which names a policy means: globs on bytes, archives first.
//!
//! A pattern without `/` is matched against the last component, one with `/` against the whole path below the root.
//! `*` never crosses a `/`. Beside the glob syntax there are two strict placeholders: `{uuid}` (8-4-4-4-12
//! hexadecimal digits) and `{timestamp}` (8 to 17 digits).
//!
//! The order is part of the promise: what `exclude` names is never a candidate; `archives` are tried before
//! `include`, because an ordinary pattern may name archives as well (`formal_*-*-*-*-*.svg` also matches
//! `formal_20240101_<uuid>.svg`), and an archive must stay one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::candidate::{Class, Name};

/// The three lists of a file policy, compiled.
#[derive(Clone, Debug)]
pub struct Patterns {
    include: Globs,
    exclude: Globs,
    archives: Globs,
    /// The three lists as they were written: a run remembers them for the next one.
    texts: [Vec<String>; 3],
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It names nothing.
    #[error("an empty pattern matches nothing")]
    Empty,
    /// Paths are below the root, so a leading `/` could never match.
    #[error("a pattern is matched below the root; remove the leading `/`")]
    Absolute,
    /// `.` and `..` never occur in a path below the root.
    #[error("`.` and `..` never occur below a root, so this matches nothing")]
    Dots,
    /// The glob syntax is wrong.
    #[error("{0}")]
    Syntax(String),
    /// The patterns together are larger than the matcher allows.
    #[error("the patterns cannot be compiled together: {0}")]
    TooLarge(String),
}

impl Patterns {
    /// Compiles the three lists. An error names the list (`include`, `exclude`, `archives`) and the index in it.
    pub fn new<S: AsRef<str>>(
        include: &[S],
        exclude: &[S],
        archives: &[S],
    ) -> Result<Self, (&'static str, usize, PatternError)> {
        let compile =
            |list: &'static str, texts: &[S]| Globs::new(texts).map_err(|(index, error)| (list, index, error));
        let texts = [include, exclude, archives];
        Ok(Self {
            include: compile("include", include)?,
            exclude: compile("exclude", exclude)?,
            archives: compile("archives", archives)?,
            texts: texts.map(|list| list.iter().map(|text| text.as_ref().to_owned()).collect()),
        })
    }

    /// `include`, `exclude` and `archives` as they were written.
    pub fn texts(&self) -> &[Vec<String>; 3] {
        &self.texts
    }

    /// The class of a name, or `None` when the policy does not mean it.
    pub fn class(&self, name: Name<'_>) -> Option<Class> {
        let class = if self.archives.matches(name) {
            Class::Archive
        } else if self.include.matches(name) {
            Class::Ordinary
        } else {
            return None;
        };
        (!self.exclude.matches(name)).then_some(class)
    }

    /// Whether `exclude` names it, so that an explanation can say so.
    pub fn excludes(&self, name: Name<'_>) -> bool {
        self.exclude.matches(name)
    }
}

/// Checks one pattern on its own.
pub fn check(text: &str) -> Result<(), PatternError> {
    compile(text).map(drop)
}

#[derive(Clone, Debug)]
struct Globs {
    /// Most patterns: compared with the last component. A million names a second cost no more than reading them.
    plain: Vec<Plain>,
    /// The others, matched against the last component.
    names: GlobSet,
    /// Matched against the path below the root.
    paths: GlobSet,
}

impl Globs {
    fn new<S: AsRef<str>>(texts: &[S]) -> Result<Self, (usize, PatternError)> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut plain = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let glob = compile(text.as_ref()).map_err(|error| (index, error))?;
            if let Some(pattern) = Plain::of(text.as_ref()) {
                plain.push(pattern);
            } else if text.as_ref().contains('/') {
                paths.add(glob);
            } else {
                names.add(glob);
            }
        }
        let build =
            |builder: GlobSetBuilder| builder.build().map_err(|error| (0, PatternError::TooLarge(error.to_string())));
        Ok(Self { plain, names: build(names)?, paths: build(paths)? })
    }

    fn matches(&self, name: Name<'_>) -> bool {
        let as_path = |bytes: &[u8]| Path::new(OsStr::from_bytes(bytes)).to_owned();
        self.plain.iter().any(|pattern| pattern.matches(name.last))
            || (!self.names.is_empty() && self.names.is_match(OsStr::from_bytes(name.last)))
            || (!self.paths.is_empty() && self.paths.is_match(as_path(&name.to_bytes())))
    }
}

/// A pattern that is nothing but texts with `*` between them, any of which may be empty.
#[derive(Clone, Debug)]
struct Plain {
    before: Vec<u8>,
    between: Vec<Vec<u8>>,
    behind: Vec<u8>,
}

impl Plain {
    fn of(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once('*')?;
        if text.contains(['?', '[', ']', '{', '}', '\\', '/']) {
            return None;
        }
        let (between, behind) = rest.rsplit_once('*').unwrap_or(("", rest));
        let between = between.split('*').filter(|text| !text.is_empty());
        Some(Self { before: before.into(), between: between.map(Into::into).collect(), behind: behind.into() })
    }

    fn matches(&self, name: &[u8]) -> bool {
        let ends = name.strip_prefix(self.before.as_slice()).and_then(|rest| rest.strip_suffix(self.behind.as_slice()));
        let Some(mut rest) = ends else { return false };
        // The first place is as good as any: it leaves the most for what follows.
        self.between.iter().all(|text| {
            let found = find(text, rest);
            rest = found.map_or(rest, |at| &rest[at + text.len()..]);
            found.is_some()
        })
    }
}

/// Where in `rest` a short text is that is not empty.
fn find(text: &[u8], rest: &[u8]) -> Option<usize> {
    let (first, more) = text.split_first()?;
    let begins = rest.iter().enumerate().filter(|(_, byte)| *byte == first);
    begins.map(|(at, _)| at).find(|at| rest[at + 1..].starts_with(more))
}

fn compile(text: &str) -> Result<Glob, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.starts_with('/') {
        return Err(PatternError::Absolute);
    }
    if text.split('/').any(|component| matches!(component, "." | "..")) {
        return Err(PatternError::Dots);
    }
    GlobBuilder::new(&expand(text))
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| PatternError::Syntax(error.kind().to_string()))
}

/// Writes the placeholders out in glob syntax.
fn expand(text: &str) -> String {
    let hex = |digits: usize| "[0-9a-fA-F]".repeat(digits);
    let uuid = [8, 4, 4, 4, 12].map(hex).join("-");
    let timestamp = (8..=17).map(|digits| "[0-9]".repeat(digits)).collect::<Vec<_>>().join(",");
    text.replace("{uuid}", &uuid).replace("{timestamp}", &format!("{{{timestamp}}}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    fn class(include: &[&str], exclude: &[&str], archives: &[&str], path: &str) -> Option<Class> {
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
        Patterns::new(include, exclude, archives)
            .unwrap()
            .class(Name { folder: folder.as_bytes(), last: last.as_bytes() })
    }

    #[test]
    fn archives_survive_a_pattern_that_also_matches_them() {
        let (include, archives) = (["formal_*-*-*-*-*.svg"], ["formal_*_*-*-*-*-*.svg"]);
        let name = format!("formal_20240101_{UUID}.svg");
        assert_eq!(class(&include, &[], &[], &name), Some(Class::Ordinary), "the trap is real");
        assert_eq!(class(&include, &[], &archives, &name), Some(Class::Archive));
        assert_eq!(class(&include, &[], &archives, &format!("formal_{UUID}.svg")), Some(Class::Ordinary));
    }

    #[test]
    fn placeholders_are_strict() {
        let name = |text: &str| class(&["formal_{uuid}.svg"], &[], &["formal_{timestamp}_{uuid}.svg"], text);
        assert_eq!(name(&format!("formal_{UUID}.svg")), Some(Class::Ordinary));
        assert_eq!(name(&format!("formal_20240101_{UUID}.svg")), Some(Class::Archive));
        assert_eq!(name(&format!("formal_20240101123059123_{UUID}.svg")), Some(Class::Archive));
        assert_eq!(name(&format!("formal_2024_{UUID}.svg")), None);
        assert_eq!(name("formal_a-b-c-d-e.svg"), None);
    }

    proptest! {
        #[test]
        fn a_plain_pattern_means_what_its_glob_means(
            text in "[ab.{,!^-]{0,2}[ab*-]{0,6}[ab.é*-]{0,3}",
            name in proptest::collection::vec(proptest::sample::select(&b"ab.\xc3\xa9-\n\xff"[..]), 1..12),
        ) {
            if let (Some(plain), Ok(glob)) = (Plain::of(&text), compile(&text)) {
                let glob = glob.compile_matcher().is_match(OsStr::from_bytes(&name));
                prop_assert_eq!(plain.matches(&name), glob, "{:?} {:?}", text, name);
            }
        }
    }

    #[test]
    fn a_slash_decides_what_a_pattern_is_matched_against() {
        assert_eq!(class(&["*.svg"], &[], &[], "deep/below/a.svg"), Some(Class::Ordinary));
        assert_eq!(class(&["deep/*.svg"], &[], &[], "deep/a.svg"), Some(Class::Ordinary));
        assert_eq!(class(&["deep/*.svg"], &[], &[], "deep/below/a.svg"), None);
        assert_eq!(class(&["deep/**/*.svg"], &[], &[], "deep/below/a.svg"), Some(Class::Ordinary));
    }

    #[test]
    fn excluded_names_are_never_candidates_and_case_counts() {
        assert_eq!(class(&["*"], &["keep*"], &[], "keep.svg"), None);
        assert_eq!(class(&["*"], &["keep*"], &["*.svg"], "keep.svg"), None);
        assert_eq!(class(&["*.svg"], &[], &[], "A.SVG"), None);
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_as_bytes() {
        let patterns = Patterns::new(&["*.svg"], &[], &[]).unwrap();
        assert_eq!(patterns.class(Name { folder: b"", last: b"\xff\xfe\n.svg" }), Some(Class::Ordinary));
    }

    #[test]
    fn what_could_never_match_is_an_error() {
        for (text, error) in
            [("", PatternError::Empty), ("/tmp/*", PatternError::Absolute), ("../*", PatternError::Dots)]
        {
            assert_eq!(check(text), Err(error), "{text}");
        }
        assert!(matches!(check("[a"), Err(PatternError::Syntax(_))));
        assert!(matches!(check("{a"), Err(PatternError::Syntax(_))));
    }
}
