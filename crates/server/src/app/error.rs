//! Why the service does not do what it was asked for, whoever asks: JSON and pages say it in their own ways.

use cleanup_core::config::Config;
use cleanup_engine::RequestError;
use cleanup_engine::plan::PlanError;

/// Why something was not done. The text is a sentence for whoever asked: it never holds a path outside the policies'
/// roots, a URL or what went wrong inside. That is logged, once, where it is handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// No policy has this name.
    #[error("{0}")]
    UnknownPolicy(String),
    /// No file, run or plan has this id.
    #[error("{0}")]
    UnknownId(String),
    /// The policy does not say `track = true`.
    #[error("{0}")]
    NotTracked(String),
    /// The path leaves the root, matches no pattern, does not exist, or is no regular file.
    #[error("{0}")]
    PathRefused(String),
    /// A value is not what it has to be.
    #[error("{0}")]
    BadValue(String),
    /// More files are tracked than the service has room for.
    #[error("{0}")]
    TooManyFiles(String),
    /// What is there now is in the way: a plan that no longer fits, a policy that is busy.
    #[error("{0}")]
    Conflict(String),
    /// The tracked folders are still being read for the first time. A second later may be late enough.
    #[error("the service is starting: it is still scanning the tracked folders")]
    Starting,
    /// The service cannot do this now.
    #[error("{0}")]
    NotNow(String),
    /// What the service remembers cannot be read or written.
    #[error("{0}")]
    MemoryAway(String),
    /// A bug or a fault of the machine. The log says what.
    #[error("internal error; see the log of the service")]
    Internal,
}

impl AppError {
    /// No policy has this name; suggests the one with the most similar name, if there is one.
    pub(crate) fn unknown_policy(config: &Config, name: &str) -> Self {
        let suggestion = config.nearest_policy(name).map(str::to_owned);
        RequestError::UnknownPolicy { name: name.to_owned(), suggestion }.into()
    }
}

impl From<RequestError> for AppError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownPolicy { .. } => Self::UnknownPolicy(error.to_string()),
            _ => Self::BadValue(error.to_string()),
        }
    }
}

impl From<PlanError> for AppError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Request(error) => error.into(),
            PlanError::Sessions { .. } => Self::BadValue(error.to_string()),
            PlanError::Foreign | PlanError::TooOld { .. } | PlanError::Future { .. } => {
                Self::Conflict(error.to_string())
            }
            PlanError::Unwritable(_)
            | PlanError::Unreadable(_)
            | PlanError::NotAPlan { .. }
            | PlanError::Incomplete
            | PlanError::Edited
            | PlanError::OtherFormat { .. } => {
                tracing::error!("a plan: {error}");
                Self::Internal
            }
        }
    }
}
