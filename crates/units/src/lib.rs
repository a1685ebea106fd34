//! Deployment files: one configuration in, everything that runs it out.
//!
//! [`render`] turns the text of a `cleanup.toml` and a [`Target`] into systemd units, cron files, a container, manifests
//! for Kubernetes, and what goes with them. It is pure: it reads no file, no clock and no environment, so the same input
//! gives the same bytes on every machine. Whoever calls it writes the files; [`changes`] says which.
//!
//! Two rules hold everywhere. What a file cannot say exactly is not said almost: it is left out, with a [`Note`] that
//! names the policy and the reason. And a value from the configuration is never trusted with a format's syntax: `site`
//! refuses what no format can carry, `quote` escapes the rest.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "files of a few kilobytes: how the code reads matters more than an allocation"
)]

mod calendar;
mod changes;
mod container;
mod cron;
mod expression;
mod hardening;
mod host;
mod kubernetes;
mod prometheus;
mod quote;
mod site;
mod systemd;

use std::path::Path;

use cleanup_core::config::ConfigError;

pub use changes::{Change, Existing, FOLDERS, changes};

/// How every rendered file begins; a file that begins otherwise is not ours, and is never changed or removed.
pub const MARK: &str = "# Rendered from cleanup.toml;";

/// The rest of the header.
const HEADER: &str = " do not edit. Change cleanup.toml, then run `cleanup units --out DIR`,\n\
                      # or `cargo xtask deploy-units` in a checkout of cleanup.\n";

/// The machine, or the image, for which files are rendered.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where the configuration will lie there, absolute; relative roots are relative to its folder.
    pub config_path: &'a Path,
    /// The folder of the programs there.
    pub prefix: &'a Path,
    /// The user that runs them, who owns the files.
    pub user: &'a str,
    /// The number of that user where there are no names: in containers.
    pub uid: u32,
    /// The name under which containers find the image.
    pub image: &'a str,
}

/// The image's name where nobody says another.
pub const IMAGE: &str = "cleanup:local";

/// What [`render`] makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The files, sorted by path.
    pub files: Vec<File>,
    /// What was left out, and why.
    pub notes: Vec<Note>,
}

/// One deployment file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Where it belongs below the output folder: `systemd/cleanup-server.service`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// Something that was left out of some of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about: a policy's name, or a kind of file.
    pub about: String,
    /// What is left out of which files, and why.
    pub what: String,
}

/// `temp-svgs: …`.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.about, self.what)
    }
}

/// Why nothing can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value that some file could not carry, or that would mean something else there.
    #[error("cannot render {what}: {why}")]
    Value {
        /// The value and where it came from.
        what: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
}

/// Renders every file. `text` is the configuration, `env` answers what an environment variable holds; what a database
/// URL takes from there is never looked at and never rendered.
pub fn render(text: &str, target: &Target<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Rendered, RenderError> {
    let site = site::Site::new(text, target, env)?;
    let mut rendered = Rendered { files: Vec::new(), notes: site.notes.clone() };
    systemd::render(&site, &mut rendered);
    cron::render(&site, &mut rendered);
    container::render(&site, &mut rendered);
    kubernetes::render(&site, &mut rendered);
    host::render(&site, &mut rendered);
    prometheus::render(&mut rendered);
    rendered.files.sort();
    Ok(rendered)
}

impl Rendered {
    /// Adds a file under the header that marks it as ours.
    fn add(&mut self, path: impl Into<String>, text: &str) {
        self.files.push(File { path: path.into(), text: format!("{MARK}{HEADER}\n{text}") });
    }

    fn note(&mut self, about: &str, what: impl Into<String>) {
        self.notes.push(Note { about: about.to_owned(), what: what.into() });
    }
}
