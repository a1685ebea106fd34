//! `cleanup list`: the files themselves, streamed as the walk comes to them; memory does not grow with their number.

use std::sync::{Mutex, PoisonError};

use cleanup_core::report::FORMAT_VERSION;
use cleanup_engine::Origin;
use cleanup_engine::answer::Listed;

use crate::args::{Format, Global, ListArgs};
use crate::console::{Console, Out};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::list::ListLine;
use crate::render::place::Places;

pub(super) fn run(global: &Global, args: &ListArgs, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let engine = super::open(global)?;
    let places = Places::from_here(engine.config());
    let (format, with_reason) = (console.format, console.verbosity.has_paths());
    let theme = console.out.theme;

    let list = Mutex::new(List { out: &mut console.out, format, count: 0 });
    let reports = engine.list(&args.policies, &|listed| {
        let is_wanted = (!args.due || listed.due) && args.larger_than.is_none_or(|size| listed.bytes > size);
        if is_wanted {
            let line = ListLine { listed, places: &places, theme: &theme, with_reason };
            list.lock().unwrap_or_else(PoisonError::into_inner).add(listed, &line);
        }
    })?;
    list.into_inner().unwrap_or_else(PoisonError::into_inner).finish();

    let faults = super::report_problems(&reports, console);
    if format == Format::Text && *engine.origin() == Origin::BuiltIn && !engine.has_any_root() {
        super::say_where_to_begin(console);
    }
    Ok(faults)
}

struct List<'a> {
    out: &'a mut Out,
    format: Format,
    count: u64,
}

impl List<'_> {
    fn add(&mut self, listed: &Listed, line: &ListLine<'_>) {
        match self.format {
            Format::Text => self.out.print(line),
            Format::Json => {
                self.begin();
                self.out.write(if self.count == 0 { "\n" } else { ",\n" });
                self.out.json(listed);
            }
        }
        self.count += 1;
        if self.out.is_closed() {
            // Nobody reads on (`| head`), and listing changes nothing that would have to be finished.
            std::process::exit(0);
        }
    }

    fn begin(&mut self) {
        if self.count == 0 {
            self.out.write(format_args!("{{\"format_version\":{FORMAT_VERSION},\"files\":["));
        }
    }

    fn finish(mut self) {
        if self.format == Format::Json {
            self.begin();
            self.out.print(if self.count == 0 { "]}" } else { "\n]}" });
        }
    }
}
