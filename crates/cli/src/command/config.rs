//! `cleanup config check|show|schema`.

use std::path::Path;

use cleanup_core::report::FORMAT_VERSION;
use cleanup_engine::responses::{Check, Finding, Severity};
use cleanup_engine::{Engine, OpenError};
use jiff::tz::TimeZone;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::document::Show;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::check::Checked;
use crate::render::settings::EffectiveSettings;

/// Exits 78 when the configuration cannot be used, 1 when a policy could not run with it.
pub(super) fn check(global: &Global, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = match Engine::open(global.config.as_deref()) {
        Ok(engine) => engine,
        Err(error) => {
            if console.format == Format::Json {
                console.out.document(&refused(&error, global));
            }
            return Err(error.into());
        }
    };
    let check = engine.check();
    if console.format == Format::Json {
        console.out.document(&check);
    } else {
        let theme = console.out.theme;
        let (now, zone) = (cleanup_engine::now(), TimeZone::system());
        let policies = engine.config().rules().count();
        console.out.write(Checked { check: &check, policies, now, zone: &zone, theme: &theme });
    }
    Ok((check.status == Severity::Error).then_some(Fault::Failed).into_iter().collect())
}

/// A configuration that cannot be used, in the shape of a check: each error with its line, and no policy.
fn refused(error: &OpenError, global: &Global) -> Check {
    let finding = |message| Finding { policy: String::new(), severity: Severity::Error, message, remedy: None };
    let named = global.config.as_deref().unwrap_or(Path::new("cleanup.toml")).display().to_string();
    let (config, findings) = match error {
        OpenError::Config(error) => {
            let findings = error
                .diagnostics()
                .iter()
                .map(|one| finding(format!("line {}: {}", error.line(one), one.title())))
                .collect();
            (named, findings)
        }
        OpenError::Unreadable { path, .. } | OpenError::Untrusted { path, .. } => {
            (path.display().to_string(), vec![finding(error.to_string())])
        }
        OpenError::NoCurrentDirectory(_) => (named, vec![finding(error.to_string())]),
        OpenError::Url { policy, why } => (named, vec![Finding { policy: policy.clone(), ..finding(why.clone()) }]),
    };
    Check {
        format_version: FORMAT_VERSION,
        config,
        status: Severity::Error,
        findings,
        sessions: Vec::new(),
        notify: None,
    }
}

pub(super) fn show(global: &Global, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let (config, settings) = (engine.origin().to_string(), &engine.config().settings);
    if console.format == Format::Json {
        let settings = settings.iter().map(Into::into).collect();
        console.out.document(&Show { format_version: FORMAT_VERSION, config, settings });
    } else {
        let theme = console.out.theme;
        console.out.write(EffectiveSettings { config: &config, settings, theme: &theme });
    }
    Ok(Vec::new())
}

/// Needs no configuration: an editor asks before there is one.
pub(super) fn schema(console: &mut Console) {
    console.out.document(&cleanup_core::config::schema());
}
