//! `cleanup list`: the files themselves, streamed as the walk comes to them; memory does not grow with their number.

use std::sync::{Mutex, PoisonError};

use cleanup_engine::Origin;

use super::stream::Stream;
use crate::args::{Format, Global, ListArgs};
use crate::console::Console;
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::list::ListLine;
use crate::render::place::Places;

pub(super) fn run(global: &Global, args: &ListArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let places = Places::from_here(engine.config());
    let (format, with_reason) = (console.format, console.verbosity.has_paths());
    let theme = console.out.theme;

    let list = Mutex::new(Stream::new(&mut console.out, format, places.roots()));
    let reports = engine.list(&args.policies, &|listed| {
        let is_wanted = (!args.due || listed.due) && args.larger_than.is_none_or(|size| listed.bytes > size);
        if is_wanted {
            let line = ListLine { listed, places: &places, theme: &theme, with_reason };
            list.lock().unwrap_or_else(PoisonError::into_inner).add(listed, &line);
        }
    })?;
    list.into_inner().unwrap_or_else(PoisonError::into_inner).finish("");

    let faults = super::report_problems(&reports, console);
    if format == Format::Text && *engine.origin() == Origin::BuiltIn && !engine.has_any_root() {
        super::say_where_to_begin(console);
    }
    Ok(faults)
}
