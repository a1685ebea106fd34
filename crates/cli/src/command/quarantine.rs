//! `cleanup quarantine`: what lies there, until when it can come back, and how much it is.

use cleanup_core::policy::Dispose;
use jiff::tz::TimeZone;

use super::stream::Stream;
use crate::args::{Format, Global};
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::place::Places;
use crate::render::problem::Problem;
use crate::render::quarantine::{QuarantineLine, QuarantineSum};

pub(super) fn run(global: &Global, policies: &[String], console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let places = Places::from_here(engine.config());
    let (format, with_reason) = (console.format, console.verbosity.has_paths());
    let (now, theme) = (cleanup_engine::now(), console.out.theme);
    let mut stream = Stream::new(&mut console.out, format, places.roots());
    let all = engine.quarantined(policies, &mut |file| {
        let line = QuarantineLine { file, places: &places, now, theme: &theme, with_reason };
        stream.add(file, &line);
    })?;
    let sums = serde_json::to_string(&all.policies).map_err(anyhow::Error::from)?;
    stream.finish(&format!(",\"policies\":{sums}"));

    let problems: Vec<&String> = all.policies.iter().filter_map(|policy| policy.problem.as_ref()).collect();
    for problem in &problems {
        console.problem(&Problem::error(problem));
    }
    if format == Format::Text && console.verbosity > Verbosity::Problems {
        let zone = TimeZone::system();
        let kept = all.policies.iter().filter(|policy| policy.files > 0);
        for policy in kept.clone() {
            console.out.print(QuarantineSum { policy, noun: places.noun(&policy.policy), now, zone: &zone });
        }
        if kept.count() == 0 {
            let keeps = engine.config().files.iter().any(|policy| matches!(policy.dispose, Dispose::Quarantine(_)));
            console.out.print(if keeps {
                "The quarantine is empty."
            } else {
                "The quarantine is empty: no policy sets `dispose = \"quarantine\"`, so removed files are gone."
            });
        }
    }
    Ok(if problems.is_empty() { Vec::new() } else { vec![Fault::Unfinished] })
}
