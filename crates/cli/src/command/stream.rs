//! Files one by one as they are told of, as lines or as one JSON document; memory does not grow with their number.

use std::collections::BTreeMap;
use std::fmt::Display;

use cleanup_core::report::FORMAT_VERSION;
use serde::Serialize;

use crate::args::Format;
use crate::console::Out;

pub(super) struct Stream<'a> {
    out: &'a mut Out,
    format: Format,
    count: u64,
    /// The root of each policy that may be named: paths are below it.
    roots: BTreeMap<String, String>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(out: &'a mut Out, format: Format, roots: BTreeMap<String, String>) -> Self {
        Self { out, format, count: 0, roots }
    }

    pub(super) fn add(&mut self, file: &impl Serialize, line: &impl Display) {
        match self.format {
            Format::Text => self.out.print(line),
            Format::Json => {
                self.begin();
                self.out.write(if self.count == 0 { "\n" } else { ",\n" });
                self.out.json(file);
            }
        }
        self.count += 1;
        if self.out.is_closed() {
            // Nobody reads on (`| head`), and listing changes nothing that would have to be finished.
            std::process::exit(0);
        }
    }

    /// Ends the document, with more members of it that follow the files.
    pub(super) fn finish(mut self, more: &str) {
        if self.format == Format::Json {
            self.begin();
            let end = if self.count == 0 { "]" } else { "\n]" };
            self.out.print(format_args!("{end}{more}}}"));
        }
    }

    fn begin(&mut self) {
        if self.count == 0 {
            self.out.write(format_args!("{{\"format_version\":{FORMAT_VERSION},\"roots\":"));
            self.out.json(&self.roots);
            self.out.write(",\"files\":[");
        }
    }
}
