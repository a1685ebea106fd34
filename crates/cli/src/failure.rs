//! Why a command could not begin, or could not do its work at all.
//!
//! What goes wrong with single policies or items is in the report, never here.

use clap::CommandFactory as _;
use cleanup_engine::plan::PlanError;
use cleanup_engine::{MemoryError, OpenError, RemovalsError, RequestError};

use crate::args::Cli;
use crate::console::Console;
use crate::exit::{Code, Fault};
use crate::render::problem::Problem;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no configuration to work with: exit code 78.
    Open(OpenError),
    /// The command line names something that does not exist: exit code 2, with the usage.
    Usage(String),
    /// Anything else: exit code 1.
    Other(anyhow::Error),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Request(error) => error.into(),
            error @ PlanError::Sessions { .. } => Self::Usage(error.to_string()),
            error => Self::Other(error.into()),
        }
    }
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        Self::Other(error.into())
    }
}

impl From<RemovalsError> for Failure {
    fn from(error: RemovalsError) -> Self {
        match error {
            RemovalsError::Memory(error) => error.into(),
            error @ RemovalsError::Off => Self::Other(error.into()),
            error @ (RemovalsError::Pattern { .. } | RemovalsError::NotText | RemovalsError::Before(_)) => {
                Self::Usage(error.to_string())
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// Says on stderr what it is, and with which code to end.
    pub(crate) fn report(self, console: &mut Console) -> Code {
        match self {
            Self::Open(OpenError::Config(error)) => {
                let coloured = console.err.is_coloured();
                console.err.print(error.render(coloured).trim_end());
                Code::of([Fault::Configuration])
            }
            Self::Open(error) => {
                console.problem(&Problem::error(error));
                Code::of([Fault::Configuration])
            }
            Self::Usage(message) => {
                let usage = Cli::command().error(clap::error::ErrorKind::ValueValidation, message);
                let text = usage.render();
                let coloured = console.err.is_coloured();
                console.err.print(if coloured { text.ansi().to_string() } else { text.to_string() }.trim_end());
                Code::Usage
            }
            Self::Other(error) => {
                console.problem(&Problem::error(format_args!("{error:#}")));
                Code::of([Fault::Failed])
            }
        }
    }
}
