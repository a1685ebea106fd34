//! Where output goes, and how much of it there is.
//!
//! Writing never stops the work: what is deleted does not depend on who listens. A reader that went away (`| head`) is
//! nobody's fault, so the rest is dropped quietly. Any other failure, such as a full disk, is said once on stderr at the
//! end, and [`Out::has_failed`] makes it a fault of the command.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd;

use anstream::AutoStream;
use serde::Serialize;

use crate::args::{Color, Format, Global};
use crate::exit::{Code, Fault};
use crate::render::Theme;
use crate::render::problem::Problem;

/// Both streams, and what was asked of them.
pub(crate) struct Console {
    /// Data.
    pub(crate) out: Out,
    /// Problems, notes, logs.
    pub(crate) err: Out,
    /// Text or JSON.
    pub(crate) format: Format,
    /// How much text.
    pub(crate) verbosity: Verbosity,
    /// Whether a person may be watching progress on stderr.
    pub(crate) shows_progress: bool,
}

/// How much there is to read, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// `-q`: problems.
    Problems,
    /// Nobody is at a terminal: one line, and that only when there is something to say.
    LastLine,
    /// A person is at a terminal: a block for each policy.
    Blocks,
    /// `-v`: every path with its reason.
    Paths,
    /// `-vv`: and a log of what is done.
    Debug,
}

impl Verbosity {
    fn new(global: &Global, on_terminal: bool) -> Self {
        match (global.quiet, global.verbose) {
            (true, _) => Self::Problems,
            (false, 0) if on_terminal => Self::Blocks,
            (false, 0) => Self::LastLine,
            (false, 1) => Self::Paths,
            (false, _) => Self::Debug,
        }
    }

    /// Whether every path is shown.
    pub(crate) fn has_paths(self) -> bool {
        self >= Self::Paths
    }

    /// Whether to log.
    pub(crate) fn is_debug(self) -> bool {
        self == Self::Debug
    }
}

impl Console {
    pub(crate) fn new(global: &Global) -> Self {
        let on_terminal = io::stdout().is_terminal();
        let out = Out::new(&io::stdout(), AutoStream::choice(&io::stdout()), global.color);
        let err = Out::new(&io::stderr(), AutoStream::choice(&io::stderr()), global.color);
        let verbosity = Verbosity::new(global, on_terminal);
        let format = global.format();
        // Paths that scroll by on the same terminal are progress enough.
        let is_scrolling = format == Format::Text && on_terminal && verbosity.has_paths();
        let may_show = !global.no_progress && !global.quiet && !verbosity.is_debug() && !is_scrolling;
        Self { out, err, format, verbosity, shows_progress: may_show && io::stderr().is_terminal() }
    }

    /// Says what went wrong, after all that was printed before it.
    pub(crate) fn problem(&mut self, problem: &Problem) {
        self.out.flush();
        let theme = self.err.theme;
        self.err.print(problem.with(&theme));
        self.err.flush();
    }

    /// Writes out what is left, and says so when it could not be written.
    pub(crate) fn finish(&mut self) {
        self.out.flush();
        if let State::Failed(error) = &self.out.state {
            let problem = Problem::error(format_args!("cannot write the output: {error}"));
            let theme = self.err.theme;
            self.err.print(problem.with(&theme));
        }
        self.err.flush();
    }
}

/// One stream that swallows its own failures.
pub(crate) struct Out {
    stream: BufWriter<Box<dyn Write + Send>>,
    state: State,
    /// The styles of this stream; none when it is not coloured.
    pub(crate) theme: Theme,
}

enum State {
    Open,
    /// Nobody reads it any more.
    Closed,
    Failed(io::Error),
}

impl Out {
    /// Writes to the descriptor itself: `Stdout` would flush at every line, which a long list cannot afford.
    fn new(stream: &impl AsFd, auto: anstream::ColorChoice, color: Color) -> Self {
        let coloured = match color {
            Color::Auto => auto != anstream::ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        let theme = if coloured { Theme::COLOURED } else { Theme::PLAIN };
        match stream.as_fd().try_clone_to_owned() {
            Ok(descriptor) => Self::to(Box::new(File::from(descriptor)), theme),
            Err(error) => Self { state: State::Failed(error), ..Self::to(Box::new(io::sink()), theme) },
        }
    }

    fn to(stream: Box<dyn Write + Send>, theme: Theme) -> Self {
        Self { stream: BufWriter::with_capacity(32 * 1024, stream), state: State::Open, theme }
    }

    pub(crate) fn is_coloured(&self) -> bool {
        self.theme == Theme::COLOURED
    }

    /// Whether nobody reads it any more.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn is_lost(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// Whether writing failed, other than by the reader going away.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Prints text and a line end.
    pub(crate) fn print(&mut self, text: impl Display) {
        self.attempt(|stream| writeln!(stream, "{text}"));
    }

    /// Prints text as it is.
    pub(crate) fn write(&mut self, text: impl Display) {
        self.attempt(|stream| write!(stream, "{text}"));
    }

    /// Prints bytes as they are.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        self.attempt(|stream| stream.write_all(bytes));
    }

    /// Prints one JSON document.
    pub(crate) fn document(&mut self, document: &impl Serialize) {
        self.attempt(|stream| {
            serde_json::to_writer_pretty(&mut *stream, document)?;
            stream.write_all(b"\n")
        });
    }

    /// Prints one JSON value on the current line.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.attempt(|stream| Ok(serde_json::to_writer(stream, value)?));
    }

    /// Hands over what was printed so far.
    pub(crate) fn flush(&mut self) {
        self.attempt(Write::flush);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>) {
        if self.is_lost() {
            return;
        }
        if let Err(error) = write(&mut self.stream) {
            self.state = if error.kind() == io::ErrorKind::BrokenPipe { State::Closed } else { State::Failed(error) };
            // What is still buffered must not be tried again when this is dropped.
            let lost = std::mem::replace(&mut self.stream, BufWriter::new(Box::new(io::sink())));
            drop(lost.into_parts());
        }
    }
}

/// Prints help, the version or a usage error, and says with which code to end. A usage error stays one, whoever reads it;
/// help that could not be written was not given.
pub(crate) fn print_message(message: &clap::Error, code: Code) -> Code {
    let printed = message.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && !message.use_stderr() => {
            let problem = Problem::error(format_args!("cannot write the output: {error}"));
            let _ = writeln!(io::stderr(), "{}", problem.with(&Theme::PLAIN));
            code.and(Fault::Failed)
        }
        Err(_) | Ok(()) => code,
    }
}

/// Logs everything at `debug` to stderr. A log that cannot be written is dropped: telling about it would panic.
pub(crate) fn log_to_stderr(coloured: bool) {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(io::stderr)
        .with_ansi(coloured)
        .log_internal_errors(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        for (kind, failed) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
            let mut out = Out::to(Box::new(Failing(kind)), Theme::PLAIN);
            out.print("x".repeat(100_000));
            out.document(&["more"]);
            out.flush();
            assert!(out.is_lost());
            assert_eq!(out.has_failed(), failed);
        }
    }

    #[test]
    fn how_much_is_printed_follows_flags_and_terminal() {
        let global = |quiet, verbose| Global { quiet, verbose, ..Global::default() };
        assert_eq!(Verbosity::new(&global(true, 0), true), Verbosity::Problems);
        assert_eq!(Verbosity::new(&global(false, 0), true), Verbosity::Blocks);
        assert_eq!(Verbosity::new(&global(false, 0), false), Verbosity::LastLine);
        assert_eq!(Verbosity::new(&global(false, 1), false), Verbosity::Paths);
        assert_eq!(Verbosity::new(&global(false, 9), true), Verbosity::Debug);
    }
}
