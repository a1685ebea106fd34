//! Text for people, made from the engine's answers and from nothing else.
//!
//! Each module shows one answer. All of them are `Display` and pure: what is printed is a function of the answer,
//! the places it speaks of, and the styles of the stream.

pub(crate) mod block;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod picture;
pub(crate) mod place;
pub(crate) mod problem;
pub(crate) mod quarantine;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod summary;
pub(crate) mod when;

use std::fmt;

use anstyle::{AnsiColor, Style};

/// The styles of one stream. Few on purpose: names stand out, details step back, trouble has a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Names of policies and paths that a block is about.
    pub(crate) name: Style,
    /// Details that may be skipped.
    pub(crate) detail: Style,
    /// What goes.
    pub(crate) goes: Style,
    /// What stays, and what is well.
    pub(crate) stays: Style,
    /// A reason to look.
    pub(crate) warning: Style,
    /// A failure.
    pub(crate) error: Style,
}

impl Theme {
    /// For files, pipes and those who ask for it.
    pub(crate) const PLAIN: Self = Self {
        name: Style::new(),
        detail: Style::new(),
        goes: Style::new(),
        stays: Style::new(),
        warning: Style::new(),
        error: Style::new(),
    };

    /// For terminals; the basic colours only, which every palette has made readable.
    pub(crate) const COLOURED: Self = Self {
        name: Style::new().bold(),
        detail: Style::new().dimmed(),
        goes: AnsiColor::Magenta.on_default(),
        stays: AnsiColor::Green.on_default(),
        warning: AnsiColor::Yellow.on_default(),
        error: AnsiColor::Red.on_default().bold(),
    };
}

/// A number with its thousands apart: `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A number of things: `1 file`, `1,234 files`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = *self;
        let plural = match (count, noun.strip_suffix('y')) {
            (1, _) => return write!(f, "1 {noun}"),
            (_, Some(stem)) => format!("{stem}ies"),
            (_, None) => format!("{noun}s"),
        };
        write!(f, "{} {plural}", Count(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(Count(0).to_string(), "0");
        assert_eq!(Count(999).to_string(), "999");
        assert_eq!(Count(1_234_567).to_string(), "1,234,567");
        assert_eq!(format!("{:>7}", Count(1000)), "  1,000");
        assert_eq!(Number(1, "file").to_string(), "1 file");
        assert_eq!(Number(0, "file").to_string(), "0 files");
        assert_eq!(Number(2000, "policy").to_string(), "2,000 policies");
    }
}
