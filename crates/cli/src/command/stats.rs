//! `cleanup stats`, `cleanup --stats`: what is there and how much of it is due.

use cleanup_core::candidate::harmless;
use cleanup_core::report::PolicyStatus;
use cleanup_engine::Origin;
use jiff::tz::TimeZone;

use crate::args::{Format, Global};
use crate::console::{Console, Verbosity};
use crate::exit::{Fault, status_fault};
use crate::failure::Failure;
use crate::render::picture::{Glyphs, Picture};
use crate::render::place::Places;
use crate::render::problem::Problem;
use crate::render::stats::{Details, StatsTable};

pub(super) fn run(global: &Global, policies: &[String], console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let stats = engine.stats(policies)?;
    if console.format == Format::Json {
        console.out.document(&stats);
    } else {
        let places = Places::from_here(engine.config());
        let zone = TimeZone::system();
        let details = console.verbosity.has_paths().then_some(Details { places: &places, zone: &zone });
        let theme = console.out.theme;
        console.out.write(StatsTable { stats: &stats, now: cleanup_engine::now(), theme: &theme, details });
        if console.verbosity >= Verbosity::Blocks {
            let glyphs = Glyphs::of_locale(|name| std::env::var(name).ok());
            console.out.write(Picture { stats: &stats, theme: &theme, glyphs, zone: &zone });
        }
        if *engine.origin() == Origin::BuiltIn && !engine.has_any_root() {
            super::say_where_to_begin(console);
        }
    }
    for policy in &stats.policies {
        if policy.status == PolicyStatus::Failed {
            let message = harmless(policy.message.as_deref().unwrap_or("could not be inspected"));
            console.problem(&Problem::error(format_args!("{}: {message}", policy.name)));
        }
        if let Some(files) = policy.files.as_ref().filter(|files| files.dotfiles > 0 && console.format != Format::Json)
        {
            let left = cleanup_core::words::Number(files.dotfiles, "file");
            let is = if files.dotfiles == 1 { "is ignored" } else { "are ignored" };
            console.out.write(format_args!(
                "{}: {left} whose name or folder starts with a dot {is}; set `dotfiles = true` to include them\n",
                policy.name
            ));
        }
        if let Some(errors) = policy.files.as_ref().map(|files| files.errors_total).filter(|errors| *errors > 0) {
            let items = cleanup_core::words::Number(errors, "item");
            console.problem(&Problem::error(format_args!("{}: {items} could not be inspected", policy.name)));
        }
    }
    Ok(stats.policies.iter().filter_map(|policy| status_fault(policy.status)).collect())
}
