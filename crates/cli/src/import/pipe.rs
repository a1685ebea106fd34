//! What reads the names that `find` prints: `| xargs -0 rm -f`.
//!
//! Names go through a pipe unharmed only with a NUL after each, on both sides.

use super::find::{Action, is_program, removal};

/// How names are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// `-print`, also where nothing is said.
    Line,
    /// `-print0`
    Nul,
}

impl Print {
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "-print" => Some(Self::Line),
            "-print0" => Some(Self::Nul),
            _ => None,
        }
    }
}

/// The command after the pipe.
pub(super) struct Reader {
    program: String,
    words: Vec<String>,
}

impl Reader {
    pub(super) fn new(words: &[String]) -> Self {
        let (program, words) = words.split_first().map_or_else(Default::default, |(first, rest)| (first.clone(), rest));
        Self { program, words: words.to_owned() }
    }

    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// What it does with the names; an error says why that is not known.
    pub(super) fn removal(&self) -> Result<Action, String> {
        self.xargs().and_then(|xargs| xargs.removal())
    }

    /// Whether it takes names apart as they were put together.
    pub(super) fn takes(&self, print: Print) -> Result<(), String> {
        match (self.xargs()?.splits_at, print) {
            (Print::Nul, Print::Nul) => Ok(()),
            (Print::Nul, Print::Line) => {
                Err("find prints lines, but `xargs -0` expects NUL after each name (`-print0`)".to_owned())
            }
            (Print::Line, _) => {
                Err("without `-print0` and `xargs -0`, names are split at blanks and quotes, so other \
                                     files could be removed"
                    .to_owned())
            }
        }
    }

    fn xargs(&self) -> Result<Xargs<'_>, String> {
        if is_program(&self.program, "xargs") {
            Xargs::read(&self.words)
        } else {
            Err(format!("it pipes the names into `{}`, which is not supported", self.program))
        }
    }
}

/// `xargs` and its options.
struct Xargs<'a> {
    splits_at: Print,
    /// `-I`: what stands for the name in the command.
    placeholder: Option<&'a str>,
    command: Vec<&'a str>,
}

impl<'a> Xargs<'a> {
    fn read(words: &'a [String]) -> Result<Self, String> {
        let mut xargs = Self { splits_at: Print::Line, placeholder: None, command: Vec::new() };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" {
                xargs.command.push(word);
                break;
            }
            let unclear = || format!("`xargs {word}` is not supported");
            if let Some(long) = word.strip_prefix("--") {
                match long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value))) {
                    ("", None) => break,
                    ("null", None) => xargs.splits_at = Print::Nul,
                    ("no-run-if-empty" | "verbose" | "exit", None) => {}
                    ("max-args" | "max-procs", value) => number(value.or_else(|| words.next())).ok_or_else(unclear)?,
                    _ => return Err(unclear()),
                }
                continue;
            }
            for (index, flag) in word.char_indices().skip(1) {
                let rest = Some(&word[index + flag.len_utf8()..]).filter(|rest| !rest.is_empty());
                match flag {
                    '0' => xargs.splits_at = Print::Nul,
                    'r' | 't' | 'x' => {}
                    'n' | 'P' => {
                        number(rest.or_else(|| words.next())).ok_or_else(unclear)?;
                        break;
                    }
                    'I' => {
                        xargs.placeholder = Some(rest.or_else(|| words.next()).ok_or_else(unclear)?);
                        break;
                    }
                    _ => return Err(unclear()),
                }
            }
        }
        xargs.command.extend(words);
        Ok(xargs)
    }

    fn removal(&self) -> Result<Action, String> {
        if self.command.is_empty() {
            return Err("`xargs` without a command removes nothing".to_owned());
        }
        let is_name = |word: &str| self.placeholder.is_some_and(|placeholder| word == placeholder);
        if let Some(word) = self.command.iter().find(|word| !is_name(word) && word.contains("{}")) {
            return Err(format!("`xargs` with `{word}` is not supported; only `rm` is"));
        }
        let words = self.command.iter().map(|word| if is_name(word) { "{}" } else { *word });
        // Without a placeholder the names come last.
        let name = self.placeholder.is_none().then_some("{}");
        removal("xargs", &mut words.chain(name).chain([";"]))
    }
}

/// A number as an option has it; which one changes nothing.
fn number(text: Option<&str>) -> Option<()> {
    text?.parse::<u32>().ok().map(|_| ())
}
