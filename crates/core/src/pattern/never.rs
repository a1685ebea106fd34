//! Patterns that can never match, or that nearly surely mean something else.
//!
//! A pattern of `exclude` or `archives` that matches nothing protects nothing, and nobody notices before the files are
//! gone. So what can never match is an error, and so is what means something in another language (a leading `!`, a list
//! in one text, a `~`) but is an unlikely name here. Each error says how to write it if it was meant.

use std::fmt;

use super::glob::{Token, branches, components, parse};
use super::{PatternError, expand};

/// No name on Linux is longer, in bytes.
const LONGEST_NAME: usize = 255;

/// Why a pattern can match nothing, or nothing that was meant. `Display` says why, [`Never::help`] the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Never {
    /// `//`
    EmptyComponent,
    /// It ends in `/`, and folders are no candidates.
    Folder {
        /// The pattern without the `/`.
        folder: String,
    },
    /// A space, a tab or a line break at either end.
    Blank,
    /// A leading `!`.
    Negated {
        /// How to write it if it was meant.
        meant: String,
    },
    /// Several patterns in one text.
    Several {
        /// As a list.
        list: String,
        /// What stands between them.
        separator: char,
    },
    /// Quotation marks around it.
    Quoted,
    /// A leading `~/`.
    Home,
    /// `\` before something that needs no escape.
    Backslash {
        /// What stands behind it.
        escaped: char,
    },
    /// A NUL character.
    Nul,
    /// A component that is longer than any name.
    TooLong,
    /// It matches an empty name.
    Nothing,
    /// A placeholder that there is not.
    Placeholder {
        /// Its name.
        name: String,
    },
    /// `[/]`: a set that names `/`.
    SlashInSet {
        /// Whether it names nothing else.
        is_alone: bool,
    },
    /// `[[:digit:]]`
    NamedSet,
    /// `^…$`
    Regex,
    /// `@(a|b)`
    ExtendedGlob,
    /// It asks for more levels than are looked at.
    TooDeep {
        /// So many components it has at least.
        levels: u32,
        /// So many are looked at.
        depth: u32,
    },
    /// It asks for more than the name of a directory directly below the root.
    BelowUnit,
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyComponent => f.write_str("`//` never occurs in a path below the root"),
            Self::Folder { .. } => f.write_str("it ends in `/`, so it matches folders, and only files can be removed"),
            Self::Blank => f.write_str("it begins or ends with a space, a tab or a line break"),
            Self::Negated { .. } => f.write_str("a leading `!` negates nothing; it stands for itself"),
            Self::Several { separator, .. } => {
                write!(f, "several patterns in one text: outside of braces, {} stands for itself", shown(*separator))
            }
            Self::Quoted => f.write_str("the quotation marks in it stand for themselves"),
            Self::Home => f.write_str("`~` is not expanded; a pattern is matched below the root"),
            Self::Backslash { escaped } => {
                write!(f, "`\\{escaped}` means `{escaped}` itself; folders are separated by `/`")
            }
            Self::Nul => f.write_str("no name contains a NUL character"),
            Self::TooLong => write!(f, "no name is longer than {LONGEST_NAME} bytes"),
            Self::Nothing => f.write_str("it matches an empty name only, and no file has one"),
            Self::Placeholder { name } => {
                write!(f, "`{{{name}}}` is not a placeholder; it matches the text `{name}`")
            }
            Self::SlashInSet { .. } => f.write_str("a set in brackets never matches `/`"),
            Self::NamedSet => f.write_str("named character classes are not supported; `[:` in brackets stands for \
                                           these characters"),
            Self::Regex => f.write_str("this looks like a regular expression; `^` and `$` stand for themselves"),
            Self::ExtendedGlob => f.write_str("extended globs are not supported; parentheses stand for themselves"),
            Self::TooDeep { levels, depth: 1 } => {
                write!(f, "it matches at level {levels} below the root, and only files directly in the root are \
                           scanned")
            }
            Self::TooDeep { levels, depth } => {
                write!(f, "it matches at level {levels} below the root, and `max_depth = {depth}` ends above it")
            }
            Self::BelowUnit => f.write_str(
                "with `unit = \"directory\"` a pattern is matched against the name of a directory directly below the root",
            ),
        }
    }
}

impl Never {
    /// Whether it could match as it stands, and nearly surely means something else.
    pub fn is_a_guess(&self) -> bool {
        match self {
            Self::Blank
            | Self::Negated { .. }
            | Self::Several { .. }
            | Self::Quoted
            | Self::Home
            | Self::Backslash { .. }
            | Self::Placeholder { .. }
            | Self::SlashInSet { is_alone: false }
            | Self::NamedSet
            | Self::Regex
            | Self::ExtendedGlob => true,
            Self::EmptyComponent
            | Self::Folder { .. }
            | Self::Nul
            | Self::TooLong
            | Self::Nothing
            | Self::SlashInSet { is_alone: true }
            | Self::TooDeep { .. }
            | Self::BelowUnit => false,
        }
    }

    /// How to write what was meant, also if it was meant as it stands.
    pub fn help(&self) -> String {
        match self {
            Self::EmptyComponent => "write a single `/`".to_owned(),
            Self::Folder { folder } => format!(
                "write `{folder}/*` for the files in it, or `{folder}/**` for all below it; both need `recursive = true`"
            ),
            Self::Blank => "remove it; if names really have it, put it in brackets: `[ ]`".to_owned(),
            Self::Negated { meant } => format!(
                "to protect names, add them to `exclude` without the `!`; if names really begin with it, write {meant}"
            ),
            Self::Several { list, separator } => {
                format!("write a list: `{list}`; if names really contain {0}, write `[{separator}]`", shown(*separator))
            }
            Self::Quoted => "remove them; if names really have them, put them in brackets, as in `[']`".to_owned(),
            Self::Home => {
                "remove `~/`, and set `root` to a folder in your home; a folder that is really called `~` is `[~]`"
                    .to_owned()
            }
            Self::Backslash { .. } => "write `/` between folders; a backslash itself is `\\\\`".to_owned(),
            Self::Nul => "remove it".to_owned(),
            Self::TooLong => "write `*` for a part of it".to_owned(),
            Self::Nothing => "remove it, or write `*` for every name".to_owned(),
            Self::Placeholder { name } => {
                format!(
                    "there are `{{uuid}}` and `{{timestamp}}` (8 to 17 digits); for the text itself, write `{name}`"
                )
            }
            Self::SlashInSet { is_alone: true } => "write `/` without brackets, between folders".to_owned(),
            Self::SlashInSet { is_alone: false } => "write alternatives in braces, as in `{/,_}`".to_owned(),
            Self::NamedSet => "write the characters themselves, as in `[0-9]` or `[a-zA-Z]`".to_owned(),
            Self::Regex => {
                "write `*` for any text and `?` for one character; if names really begin with `^`, write `\\^`"
                    .to_owned()
            }
            Self::ExtendedGlob => {
                "write `{a,b}` for alternatives; if names really contain parentheses, put them in brackets: `[(]`"
                    .to_owned()
            }
            Self::TooDeep { depth: 1, .. } => "add `recursive = true`".to_owned(),
            Self::TooDeep { levels, .. } => format!("set `max_depth` to at least {levels}"),
            Self::BelowUnit => "name the directory itself; it is removed or kept as a whole".to_owned(),
        }
    }
}

fn shown(separator: char) -> String {
    match separator {
        ' ' => "a space".to_owned(),
        other => format!("`{other}`"),
    }
}

/// Finds out whether a pattern can match, whichever list it stands in. Its syntax is right.
pub(super) fn check(text: &str, tokens: &[Token]) -> Result<(), PatternError> {
    let never = |never: Never| Err(PatternError::Never(never));
    if text.contains('\0') {
        return never(Never::Nul);
    }
    if text.trim() != text {
        return never(Never::Blank);
    }
    if let Some(rest) = text.strip_prefix('!') {
        let meant =
            if rest.contains(']') { format!("`'\\!{rest}'`, in single quotes") } else { format!("`[!]{rest}`") };
        return never(Never::Negated { meant });
    }
    if text.starts_with("~/") {
        return never(Never::Home);
    }
    let is_within = |mark: char| text.len() > 1 && text.starts_with(mark) && text.ends_with(mark);
    if is_within('"') || is_within('\'') {
        return never(Never::Quoted);
    }
    if text.starts_with('^') && text.ends_with('$') {
        return never(Never::Regex);
    }
    if is_extended(text) {
        return never(Never::ExtendedGlob);
    }
    if names_set(text) {
        return never(Never::NamedSet);
    }
    if let Some(several) = several(text) {
        return never(several);
    }
    if let Some(escaped) = needless_escape(text) {
        return never(Never::Backslash { escaped });
    }
    if let Some(name) = wrong_placeholder(text) {
        return never(Never::Placeholder { name });
    }
    if let Some(ranges) = set_with_slash(tokens) {
        let is_alone = ranges.iter().all(|range| *range == ('/', '/'));
        return never(Never::SlashInSet { is_alone });
    }
    // Where there are too many alternatives to look at, nothing is said of them.
    let all = branches(tokens).unwrap_or_default();
    let is_nothing = |branch: &Vec<Token>| branch.is_empty();
    if !all.is_empty() && all.iter().all(is_nothing) {
        return never(Never::Nothing);
    }
    all.iter().filter(|branch| !branch.is_empty()).try_for_each(|branch| check_branch(text, branch))
}

/// How many components a name has at least that the pattern matches: 1 for names in the root itself.
pub(super) fn least_levels(text: &str) -> u32 {
    let tokens = parse(&expand(text)).unwrap_or_default();
    let all = branches(&tokens).unwrap_or_default();
    let levels = |branch: &Vec<Token>| u32::try_from(components(branch).len()).unwrap_or(u32::MAX);
    all.iter().filter(|branch| !branch.is_empty()).map(levels).min().unwrap_or(1)
}

fn check_branch(text: &str, branch: &[Token]) -> Result<(), PatternError> {
    let components = components(branch);
    let last = components.len() - 1;
    for (index, component) in components.into_iter().enumerate() {
        if component.is_empty() {
            match index {
                // A folder with all that is in it.
                _ if index == last && text.ends_with('/') => {}
                0 => return Err(PatternError::Absolute),
                _ if index == last => {
                    return Err(PatternError::Never(Never::Folder { folder: "FOLDER".to_owned() }));
                }
                _ => return Err(PatternError::Never(Never::EmptyComponent)),
            }
        }
        if (1..=2).contains(&component.len()) && component.iter().all(|token| only_character(token) == Some('.')) {
            return Err(PatternError::Dots);
        }
        let bytes = |token: &Token| match token {
            Token::Literal(character) => character.len_utf8(),
            Token::Any | Token::Class { .. } => 1,
            Token::Star | Token::Folders | Token::Deep | Token::Either(_) => 0,
        };
        if component.iter().map(bytes).sum::<usize>() > LONGEST_NAME {
            return Err(PatternError::Never(Never::TooLong));
        }
    }
    Ok(())
}

/// The one character that can be there.
fn only_character(token: &Token) -> Option<char> {
    match token {
        Token::Literal(character) => Some(*character),
        Token::Class { negated: false, ranges } => {
            let (character, last) = *ranges.first()?;
            let is_one = |range: &(char, char)| *range == (character, character);
            (character == last && ranges.iter().all(is_one)).then_some(character)
        }
        _ => None,
    }
}

/// A set that names `/`, and not only in the middle of a range.
fn set_with_slash(tokens: &[Token]) -> Option<&[(char, char)]> {
    tokens.iter().find_map(|token| match token {
        Token::Class { negated: false, ranges } => {
            ranges.iter().any(|(from, to)| *from == '/' || *to == '/').then_some(ranges.as_slice())
        }
        Token::Either(branches) => branches.iter().find_map(|branch| set_with_slash(branch)),
        _ => None,
    })
}

/// `*.jpg,*.png`, `*.jpg *.png`: each part would be a pattern by itself. A name may hold any of these characters, so
/// nothing is said where a part does not look like that: `*,v`, `*:2,*S`, `Smith, *.pdf`.
fn several(text: &str) -> Option<Never> {
    for separator in [',', ';', '|', ' '] {
        let parts: Vec<&str> = outside_of_braces(text, separator);
        let parts: Vec<&str> = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
        let is_suffix = |part: &&str| part.starts_with("*.") && part.len() > 2;
        let is_pattern = |part: &&str| part.contains(['*', '?']) && part.contains('.');
        let is_list = if separator == ' ' {
            parts.iter().all(is_suffix)
        } else {
            parts.iter().all(is_pattern) || parts.iter().filter(|part| is_suffix(part)).count() > 1
        };
        if parts.len() > 1 && is_list {
            let quoted: Vec<String> = parts.iter().map(|part| format!("\"{part}\"")).collect();
            return Some(Never::Several { list: format!("[{}]", quoted.join(", ")), separator });
        }
    }
    None
}

/// Splits at a character that stands outside of braces and brackets, and is not escaped.
fn outside_of_braces(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut braces, mut in_class) = (Vec::new(), 0, 0_usize, false);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            ']' => in_class = false,
            '[' => in_class = true,
            _ if in_class => {}
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ if character == separator && braces == 0 => {
                parts.push(&text[begin..at]);
                begin = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// `@(jpg|png)`
fn is_extended(text: &str) -> bool {
    let opens = ["@(", "+(", "?(", "*("].iter().filter_map(|open| text.find(open)).min();
    opens.is_some_and(|at| {
        let rest = &text[at..];
        rest.find('|').is_some_and(|bar| rest[bar..].contains(')'))
    })
}

fn needless_escape(text: &str) -> Option<char> {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            let escaped = characters.next()?;
            let ends_in_slash = escaped == '/' && characters.as_str().is_empty();
            if escaped.is_alphanumeric() || ends_in_slash {
                return Some(escaped);
            }
        }
    }
    None
}

/// `[[:digit:]]`, `[_[:alpha:]]`
fn names_set(text: &str) -> bool {
    text.match_indices("[:").any(|(at, _)| {
        let name = text[at + 2..].split_once(":]").map_or("", |(name, _)| name);
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
        is_name && text[..at].contains('[')
    })
}

/// `{UUID}`, `{date}`: what looks like a placeholder and is an alternative of one text.
fn wrong_placeholder(text: &str) -> Option<String> {
    const LIKELY: [&str; 6] = ["uuid", "timestamp", "guid", "date", "datetime", "time"];
    const KNOWN: [&str; 2] = ["uuid", "timestamp"];
    let braced = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let mut wrong =
        braced.filter(|name| LIKELY.iter().any(|likely| likely.eq_ignore_ascii_case(name)) && !KNOWN.contains(name));
    wrong.next().map(str::to_owned)
}
