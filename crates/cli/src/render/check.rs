//! What `config check` found.

use std::fmt;

use cleanup_engine::responses::{Check, Finding, Severity};

use super::{Number, Theme};

/// The findings, or `ok`.
pub(crate) struct Checked<'a> {
    pub(crate) check: &'a Check,
    /// How many policies were looked at.
    pub(crate) policies: usize,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for Checked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, theme: Theme { stays, detail, .. }, .. } = self;
        for Finding { policy, severity, message, remedy } in &check.findings {
            let (style, word) = self.severity(*severity);
            writeln!(f, "{style}{word}{style:#}: {policy}: {message}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "  {detail}try:{detail:#} {remedy}")?;
            }
        }
        let policies = Number(self.policies as u64, "policy");
        match check.status {
            Severity::Ok => writeln!(f, "{stays}ok{stays:#}: {}, {policies}", check.config),
            _ => writeln!(f, "{}: {policies}, {}", check.config, Number(check.findings.len() as u64, "finding")),
        }
    }
}

impl Checked<'_> {
    fn severity(&self, severity: Severity) -> (anstyle::Style, &'static str) {
        match severity {
            Severity::Ok => (self.theme.stays, "ok"),
            Severity::Warning => (self.theme.warning, "warning"),
            Severity::Error => (self.theme.error, "error"),
        }
    }
}
