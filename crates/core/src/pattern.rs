//! Which names a policy means: globs, archives first.
//!
//! A pattern without `/` is matched against the last component, one with `/` against the whole path below the root.
//! It is matched by character, as a shell does it in a UTF-8 locale, and `*`, `?` and sets never stand for a `/`. Beside the glob syntax there are two strict placeholders: `{uuid}` (8-4-4-4-12
//! hexadecimal digits) and `{timestamp}` (8 to 17 digits). In `exclude` and `archives`, a pattern that ends in `/` means
//! a folder and all that is in it.
//!
//! The order is part of the promise: what `exclude` names is never a candidate; `archives` are tried before
//! `include`, because an ordinary pattern may name archives as well (`formal_*-*-*-*-*.svg` also matches
//! `formal_20240101_<uuid>.svg`), and an archive must stay one.
//!
//! **Dotfiles.** As in a shell, no wildcard stands for a dot at the beginning of a component: `*` does not mean
//! `.gitkeep`, and nothing in `.git`. That makes candidates of fewer names. Where patterns protect (`exclude`,
//! `archives`), wildcards match such names as they match all others.

mod glob;
mod never;
#[cfg(test)]
mod oracle;
mod program;
mod table;
#[cfg(test)]
mod tests;

pub use self::glob::SyntaxError;
use self::glob::Token;
pub use self::never::Never;
use self::program::{Dots, Program};
use crate::candidate::{Class, Name};
use crate::policy::Archives;

/// The three lists of a file policy, compiled.
#[derive(Clone, Debug)]
pub struct Patterns {
    include: Globs,
    exclude: Globs,
    archives: Globs,
    /// The three lists as they were written: a run remembers them for the next one.
    texts: [Vec<String>; 3],
    dotfiles: Dotfiles,
}

/// The key `dotfiles`: whether wildcards make candidates of names that begin with a dot, and of what lies in folders
/// with such a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dotfiles {
    /// They do not; a pattern has to name the dot (the default).
    #[default]
    Leave,
    /// They do.
    Match,
}

/// Why a text is not a pattern.
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
    /// It can never match, or nearly surely means something else.
    #[error("{0}")]
    Never(Never),
    /// The glob syntax is wrong.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// It has more alternatives than the matcher takes.
    #[error("it has too many alternatives; write several patterns")]
    TooLarge,
}

impl PatternError {
    /// The way out, where there is more to say than the error itself does.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Dots => Some("remove it: `logs/*.log`, not `./logs/*.log`".to_owned()),
            Self::Never(never) => Some(never.help()),
            Self::Syntax(SyntaxError::UnclosedClass) => Some("write `[[]` to mean the character `[` itself".to_owned()),
            Self::Syntax(SyntaxError::DanglingEscape) => Some("write `\\\\` to mean a backslash itself".to_owned()),
            Self::Empty | Self::Absolute | Self::Syntax(_) | Self::TooLarge => None,
        }
    }
}

impl Patterns {
    /// Compiles the three lists. An error names the list (`include`, `exclude`, `archives`) and the index in it.
    pub fn new<S: AsRef<str>>(
        include: &[S],
        exclude: &[S],
        archives: &[S],
    ) -> Result<Self, (&'static str, usize, PatternError)> {
        if let Some((index, error)) =
            include.iter().enumerate().find_map(|(index, text)| Some((index, check_include(text.as_ref()).err()?)))
        {
            return Err(("include", index, error));
        }
        let compile =
            |list: &'static str, texts: &[S]| Globs::new(texts).map_err(|(index, error)| (list, index, error));
        let texts = [include, exclude, archives];
        Ok(Self {
            include: compile("include", include)?,
            exclude: compile("exclude", exclude)?,
            archives: compile("archives", archives)?,
            dotfiles: Dotfiles::Leave,
            texts: texts.map(|list| list.iter().map(|text| text.as_ref().to_owned()).collect()),
        })
    }

    /// `include`, `exclude` and `archives` as they were written.
    pub fn texts(&self) -> &[Vec<String>; 3] {
        &self.texts
    }

    /// What wildcards of `include` make of a leading dot.
    pub fn dotfiles(&self) -> Dotfiles {
        self.dotfiles
    }

    /// The same patterns, with another answer to what wildcards mean.
    #[must_use]
    pub fn with_dotfiles(self, dotfiles: Dotfiles) -> Self {
        Self { dotfiles, ..self }
    }

    /// The class of a file's name, or `None` when the policy does not mean it.
    pub fn class(&self, name: Name<'_>) -> Option<Class> {
        let class = self.listed(name)?;
        (!self.leaves_dot(name) && !self.exclude.matches(name)).then_some(class)
    }

    /// The class of the name of a directory that goes as a whole: patterns that end in `/` mean it too.
    pub fn class_of_whole(&self, name: Name<'_>) -> Option<Class> {
        let class = if self.archives.matches_folder(name) { Class::Archive } else { self.listed(name)? };
        (!self.leaves_dot(name) && !self.excludes_folder(name)).then_some(class)
    }

    /// Whether `exclude` names a file, so that an explanation can say so.
    pub fn excludes(&self, name: Name<'_>) -> bool {
        self.exclude.matches(name)
    }

    /// Whether `exclude` names a folder: then nothing in it is looked at.
    pub fn excludes_folder(&self, name: Name<'_>) -> bool {
        self.exclude.matches(name) || self.exclude.matches_folder(name)
    }

    /// Whether a file would be a candidate if `dotfiles` were `true`, and is none.
    pub fn leaves_dotfile(&self, name: Name<'_>) -> bool {
        // Most names have no such dot, and that is asked first.
        self.dotfiles == Dotfiles::Leave
            && is_hidden(name)
            && self.listed(name).is_some()
            && self.leaves_dot(name)
            && !self.exclude.matches(name)
    }

    /// Whether a folder in which nothing is left stays all the same: `archives` name it, or a dot begins its name or
    /// that of a folder that it lies in, and no pattern leads there.
    pub fn keeps_folder(&self, name: Name<'_>, archives: Archives) -> bool {
        let is_archive = || self.archives.matches_folder(name) || self.archives.is_below(name);
        let is_left = || {
            let path = name.to_bytes();
            self.dotfiles == Dotfiles::Leave && is_hidden(name) && !self.include.leads_into(&path)
        };
        (archives == Archives::Keep && is_archive()) || is_left()
    }

    /// By which list a name is meant, `exclude` left out.
    fn listed(&self, name: Name<'_>) -> Option<Class> {
        if self.archives.matches(name) {
            Some(Class::Archive)
        } else if self.include.matches(name) {
            Some(Class::Ordinary)
        } else {
            None
        }
    }

    /// Whether only a wildcard stands for a leading dot of a name that a list means.
    fn leaves_dot(&self, name: Name<'_>) -> bool {
        self.dotfiles == Dotfiles::Leave
            && is_hidden(name)
            && !self.include.names_dots(name)
            && !self.archives.names_dots(name)
    }
}

/// Whether a component of a path begins with a dot.
fn is_hidden(name: Name<'_>) -> bool {
    let Name { folder, last } = name;
    last.starts_with(b".")
        || (folder.contains(&b'.') && folder.split(|byte| *byte == b'/').any(|component| component.starts_with(b".")))
}

/// Checks one pattern on its own, of whichever list.
pub fn check(text: &str) -> Result<(), PatternError> {
    let tokens = compile(text)?;
    never::check(text, &tokens)
}

/// Checks one pattern of `include` on its own: files are candidates, folders are not.
pub fn check_include(text: &str) -> Result<(), PatternError> {
    check(text)?;
    match text.strip_suffix('/') {
        Some(folder) => Err(PatternError::Never(Never::Folder { folder: folder.to_owned() })),
        None => Ok(()),
    }
}

/// How many components a path has at least that a pattern matches: 1 where it may match a file in the root itself.
pub fn least_levels(text: &str) -> u32 {
    never::least_levels(text)
}

/// A list of patterns.
#[derive(Clone, Debug)]
struct Globs {
    /// Matched one after the other, those that take the least first.
    globs: Vec<CompiledGlob>,
    /// Folders that a pattern means with all that is in them.
    folders: Option<Box<Folders>>,
}

/// What patterns that end in `/` mean.
#[derive(Clone, Debug)]
struct Folders {
    /// The folders themselves.
    themselves: Globs,
    /// What is in them.
    below: Vec<CompiledGlob>,
}

/// One pattern.
#[derive(Clone, Debug)]
struct CompiledGlob {
    /// Most patterns: compared with the last component. A million names a second cost no more than reading them.
    plain: Option<Plain>,
    program: Program,
    /// Whether it is matched against the whole path.
    is_path: bool,
}

impl Globs {
    fn new<S: AsRef<str>>(texts: &[S]) -> Result<Self, (usize, PatternError)> {
        let (mut globs, mut folders, mut below) = (Vec::new(), Vec::new(), Vec::new());
        for (index, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let failed = |error| (index, error);
            check(text).map_err(failed)?;
            let Some(folder) = text.strip_suffix('/') else {
                globs.push(CompiledGlob::new(text).map_err(failed)?);
                continue;
            };
            // One without another `/` means folders of that name anywhere.
            let below_it = if folder == "**" || folder.ends_with("/**") {
                format!("{folder}/*/**")
            } else if folder.contains('/') {
                format!("{folder}/**")
            } else {
                format!("**/{folder}/**")
            };
            below.push(CompiledGlob::new(&below_it).map_err(failed)?);
            folders.push(folder.to_owned());
        }
        globs.sort_by_key(|glob| glob.plain.is_none());
        let folders =
            if folders.is_empty() { None } else { Some(Box::new(Folders { themselves: Self::new(&folders)?, below })) };
        Ok(Self { globs, folders })
    }

    fn matches(&self, name: Name<'_>) -> bool {
        self.globs.iter().any(|glob| glob.matches(name)) || self.is_below(name)
    }

    /// Whether it lies in a folder that is meant with all that is in it.
    fn is_below(&self, name: Name<'_>) -> bool {
        self.folders.as_ref().is_some_and(|folders| folders.below.iter().any(|glob| glob.matches(name)))
    }

    /// Whether it is such a folder itself.
    fn matches_folder(&self, name: Name<'_>) -> bool {
        self.folders.as_ref().is_some_and(|folders| folders.themselves.matches(name))
    }

    /// All of them, what is in folders included.
    fn all(&self) -> impl Iterator<Item = &CompiledGlob> {
        self.globs.iter().chain(self.folders.iter().flat_map(|folders| &folders.below))
    }

    /// Whether one of them matches a name, and no wildcard of it stands for a leading dot.
    fn names_dots(&self, name: Name<'_>) -> bool {
        let is_folder_hidden = is_hidden(Name { folder: name.folder, last: b"" });
        // One without `/` names no folder, so it does not lead into a hidden one.
        self.all().any(|glob| (glob.is_path || !is_folder_hidden) && glob.matches_by(name, Dots::Leave))
    }

    /// Whether one of them can match something in a folder, and no wildcard of it stands for a leading dot.
    fn leads_into(&self, folder: &[u8]) -> bool {
        self.all().any(|glob| glob.is_path && glob.program.leads_into(folder, Dots::Leave))
    }
}

impl CompiledGlob {
    fn new(text: &str) -> Result<Self, PatternError> {
        let tokens = compile(text)?;
        Ok(Self {
            plain: Plain::of(text),
            program: Program::new(&tokens).ok_or(PatternError::TooLarge)?,
            is_path: text.contains('/'),
        })
    }

    fn matches(&self, name: Name<'_>) -> bool {
        match &self.plain {
            Some(plain) => plain.matches(name.last),
            None => self.matches_by(name, Dots::Match),
        }
    }

    fn matches_by(&self, name: Name<'_>, dots: Dots) -> bool {
        let Name { folder, last } = name;
        let parts: &[&[u8]] = if self.is_path && !folder.is_empty() { &[folder, b"/", last] } else { &[last] };
        self.program.matches(parts, dots)
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

/// Reads a pattern; an error where its syntax is wrong, or it has the form of a path elsewhere.
fn compile(text: &str) -> Result<Vec<Token>, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.starts_with('/') {
        return Err(PatternError::Absolute);
    }
    if text.split('/').any(|component| matches!(component, "." | "..")) {
        return Err(PatternError::Dots);
    }
    Ok(glob::parse(&expand(text))?)
}

/// Writes the placeholders out in glob syntax, and `[!]` as the `!` that it means where no set follows.
fn expand(text: &str) -> String {
    let hex = |digits: usize| "[0-9a-fA-F]".repeat(digits);
    let uuid = [8, 4, 4, 4, 12].map(hex).join("-");
    // Eight digits, and up to nine more.
    let timestamp = "[0-9]".repeat(8) + &"{,[0-9]".repeat(9) + &"}".repeat(9);
    let text = match text.split_once("[!]") {
        Some((before, behind)) if !behind.contains(']') => format!("{before}\\!{behind}"),
        _ => text.to_owned(),
    };
    text.replace("{uuid}", &uuid).replace("{timestamp}", &timestamp)
}
