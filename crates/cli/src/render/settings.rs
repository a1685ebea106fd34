//! The effective settings in the look of the file: `max_age = "1h"   # from line 12`.

use std::fmt;

use cleanup_core::config::{Origin, Setting};

use super::Theme;

/// All settings, grouped by table.
pub(crate) struct EffectiveSettings<'a> {
    /// The source of the configuration.
    pub(crate) config: &'a str,
    pub(crate) settings: &'a [Setting],
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for EffectiveSettings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, settings, theme: Theme { name, detail, .. } } = self;
        writeln!(f, "{detail}# {config}{detail:#}")?;
        let mut current = "";
        for group in settings.chunk_by(|a, b| split(a).0 == split(b).0) {
            let Some(first) = group.first() else { continue };
            let (table, _) = split(first);
            if table != current {
                writeln!(f, "\n{name}[{table}]{name:#}")?;
                current = table;
            }
            let keys = group.iter().map(|setting| split(setting).1.len()).max().unwrap_or(0);
            // One long list must not push every comment off the screen.
            let values =
                group.iter().map(|setting| setting.value.len()).filter(|width| *width <= 40).max().unwrap_or(0);
            for setting in group {
                let (_, key) = split(setting);
                let from = if setting.origin == Origin::Default { "" } else { "from " };
                let origin = &setting.origin;
                writeln!(f, "{key:keys$} = {:values$}   {detail}# {from}{origin}{detail:#}", setting.value)?;
            }
        }
        Ok(())
    }
}

/// The table and the key: `files.temp-svgs` and `max_age`.
fn split(setting: &Setting) -> (&str, &str) {
    setting.key.rsplit_once('.').unwrap_or(("", &setting.key))
}
