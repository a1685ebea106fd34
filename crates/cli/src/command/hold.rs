//! `cleanup hold`: keep paths for a while, take that back, show what is kept.

use cleanup_core::candidate::Escaped;
use cleanup_engine::{Engine, HoldsQuery, RequestError};
use jiff::tz::TimeZone;

use crate::args::{Format, Global, HoldArgs};
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::place::exact;
use crate::render::problem::Problem;
use crate::render::when::When;

pub(super) fn run(global: &Global, args: &HoldArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let (zone, caller) = (TimeZone::system(), cleanup_engine::caller());
    for path in &args.paths {
        let shown = Escaped(path.as_os_str().as_encoded_bytes());
        let line = if let Some(span) = args.span {
            let held = engine.hold(path, span, Some(&caller))?;
            if held.policies.is_empty() {
                let about = format!("{shown} lies below no root, so nothing would take it anyway");
                console.problem(&Problem::warning(about));
            }
            if held.is_being_swept {
                let about = format!("a sweep that began before is running, and may still take {shown}");
                console.problem(&Problem::warning(about));
            }
            format!("{shown} is held until {}", When { at: held.until, now: cleanup_engine::now(), zone: &zone })
        } else if engine.release(path, Some(&caller))?.is_some() {
            format!("{shown} is no longer held")
        } else {
            format!("{shown} was not held")
        };
        if console.format == Format::Text && console.verbosity > Verbosity::Problems {
            console.out.print(line);
        }
    }
    if args.list || console.format == Format::Json {
        list(&engine, args, &zone, console)?;
    }
    Ok(Vec::new())
}

fn list(engine: &Engine, args: &HoldArgs, zone: &TimeZone, console: &mut Console) -> Result<(), Failure> {
    let HoldArgs { contains, policy, .. } = args;
    if let Some(name) = policy.as_ref().filter(|name| !engine.config().rules().any(|rule| rule.name == **name)) {
        let suggestion = engine.config().nearest_policy(name).map(str::to_owned);
        return Err(RequestError::UnknownPolicy { name: name.clone(), suggestion }.into());
    }
    let query = HoldsQuery { policy: policy.clone(), contains: contains.clone(), ..HoldsQuery::default() };
    let holds = engine.holds(&query)?;
    if console.format == Format::Json {
        console.out.document(&holds);
        return Ok(());
    }
    if holds.holds.is_empty() {
        let is_all = contains.is_none() && policy.is_none();
        console.out.print(if is_all { "Nothing is held." } else { "Nothing of it is held." });
    }
    for hold in &holds.holds {
        let path = exact(&hold.path, hold.path_bytes.as_deref());
        let until = When { at: hold.until, now: cleanup_engine::now(), zone };
        let asked_by = hold.asked_by.as_ref().map(|name| format!(", asked by {name}")).unwrap_or_default();
        console.out.print(format_args!("{}  until {until}{asked_by}", Escaped(&path)));
    }
    Ok(())
}
