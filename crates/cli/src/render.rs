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
pub(crate) mod removals;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod summary;
pub(crate) mod when;

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
