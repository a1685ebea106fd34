//! A headless Chromium of a test's own: started with an empty profile, asked over a pipe, gone with its value.
//!
//! It is the browser that the machine has; nothing is downloaded. The pipe speaks the `DevTools` protocol: messages of
//! JSON with a zero byte after each. It takes no port, and a browser whose pipe closes ends, however its test ended.
//!
//! Nothing here sleeps: whoever waits, waits for a condition in the page.

mod browser;
mod page;

pub use browser::Browser;
pub use page::{Page, Scheme};

/// The environment variable that names another browser than the one that is found.
pub const PROGRAM_VARIABLE: &str = "CLEANUP_TEST_BROWSER";

/// The accessibility checker that runs within a page: axe-core, under the MPL 2.0, as it is published.
pub const AXE: &str = include_str!("../axe/axe.min.js");

/// Why there is no answer from a browser.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Chromium is installed.
    #[error(
        "Chromium is not installed: no `chromium` in PATH; install the package `chromium` (Debian, Fedora, Alpine)"
    )]
    NotInstalled,
    /// It cannot be started, or its pipe is broken.
    #[error("the browser: {0}")]
    Io(#[from] std::io::Error),
    /// It did not answer within the time that anything may take.
    #[error("the browser does not answer: {0}")]
    Silent(String),
    /// It answered that this cannot be done.
    #[error("the browser refuses {method}: {why}")]
    Refused {
        /// What was asked of it.
        method: String,
        /// What it says.
        why: String,
    },
    /// A script in the page failed.
    #[error("the script failed: {0}")]
    Script(String),
    /// A condition in the page did not come true.
    #[error("never so: {condition}\n{page}")]
    NeverSo {
        /// What was waited for.
        condition: String,
        /// What the page showed instead.
        page: String,
    },
}
