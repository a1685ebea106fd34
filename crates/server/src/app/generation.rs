//! What runs by one configuration, and whether another one may take its place.
//!
//! A file that is read while somebody writes it may be empty or end too early, and still be a configuration: one without
//! policies, without a token, with another memory. Nobody who reloads means that, so a reload never drops all policies,
//! never opens the service to those who needed the token, and never forgets where the promises are. Whoever does mean it
//! restarts the service. A reload that is refused changes nothing; why is said until one succeeds.

use std::sync::Arc;

use cleanup_core::config::{Config, TokenFor};
use cleanup_core::moment::Moment;
use cleanup_engine::track::Tracker;
use cleanup_engine::{Engine, Origin};

use super::access::Access;

/// Everything that one call needs of the configuration.
#[derive(Clone)]
pub struct Generation {
    /// The configuration, opened.
    pub engine: Arc<Engine>,
    /// What is tracked; `None` until the tracked folders were read.
    pub tracker: Option<Arc<Tracker>>,
    /// Who may call.
    pub access: Arc<Access>,
}

/// Why the running configuration stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be read, or is not valid; in words, which may name paths and quote the file.
    #[error("{0}")]
    Broken(String),
    /// The file that was read is not the one that is found now.
    #[error("{after} would be read instead of {before}, which may be gone; restart the service to use it")]
    Elsewhere {
        /// What runs.
        before: String,
        /// What would.
        after: String,
    },
    /// It has no policy.
    #[error("{0} no longer has a policy: it may be empty or cut off; restart the service to run it without policies")]
    NoPolicies(String),
    /// It has no token.
    #[error("{0} no longer names a token, so everyone could call; restart the service to run it without a token")]
    NoToken(String),
    /// It does not say any more that reading needs the token.
    #[error(
        "{0} no longer sets `token_for`, so every process of this machine could read; write `token_for = \"changes\"` \
         if this is intended"
    )]
    OpensReading(String),
    /// Promises would be looked for in another place.
    #[error("{0} changes `url` in `[state]`, so current holds would be lost; restart the service to use it")]
    OtherMemory(String),
}

impl Refusal {
    /// Why one that was opened may not follow another, if it may not.
    pub(crate) fn of(before: (&Engine, &Access), after: (&Engine, &Access)) -> Option<Self> {
        let ((engine, access), (new_engine, new_access)) = (before, after);
        let origin = new_engine.origin().to_string();
        let has_any = |config: &Config| config.rules().next().is_some();
        let (config, new_config) = (engine.config(), new_engine.config());
        if engine.origin().path().is_some() && engine.origin().path() != new_engine.origin().path() {
            return Some(Self::Elsewhere { before: engine.origin().to_string(), after: origin });
        }
        if has_any(config) && !has_any(new_config) {
            return Some(Self::NoPolicies(origin));
        }
        if access.has_token() && !new_access.has_token() {
            return Some(Self::NoToken(origin));
        }
        let was_closed = access.has_token() && access.token_for() == TokenFor::Everything;
        if was_closed && new_access.token_for() != TokenFor::Everything && !new_config.sets("server.token_for") {
            return Some(Self::OpensReading(origin));
        }
        // A memory that is found by the place of the file moves with the file, and that was asked first.
        let was_file = matches!(engine.origin(), Origin::Named(_) | Origin::Found(_));
        if was_file && config.state != new_config.state {
            return Some(Self::OtherMemory(origin));
        }
        None
    }

    /// The same for a page and a probe: without a path, and without anything that the file says.
    fn in_short(&self) -> &'static str {
        match self {
            Self::Broken(_) => "it, or its token, is unreadable or invalid",
            Self::Elsewhere { .. } => "another file would be read instead of its own, which may be gone",
            Self::NoPolicies(_) => "it no longer has a policy",
            Self::NoToken(_) => "it no longer names a token",
            Self::OpensReading(_) => "it no longer sets `token_for`",
            Self::OtherMemory(_) => "it changes `url` in `[state]`",
        }
    }
}

/// A reload that was refused, until one succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Moment,
    pub(crate) why: Refusal,
}

/// `the reload at 2026-01-02T03:04:05Z was refused, and the configuration before it goes on: …`
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, why) = (self.at, self.why.in_short());
        write!(f, "the reload at {at} was refused, and the previous configuration stays in use: {why}; see the log")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const POLICY: &str = "[files.a]\nroot = \"a\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n";
    const OTHER: &str = "[files.b]\nroot = \"b\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n";
    const TOKEN: &str = "[server]\ntoken_file = \"token\"\n";

    fn open(folder: &Path, name: &str, text: &str) -> (Engine, Access) {
        let path = folder.join(name);
        std::fs::write(folder.join("token"), "correct-horse-battery-staple").unwrap();
        std::fs::write(folder.join("other"), "another-horse-battery-staple").unwrap();
        std::fs::write(&path, text).unwrap();
        let engine = Engine::open(Some(&path)).unwrap();
        let access = Access::read(engine.config()).unwrap();
        (engine, access)
    }

    fn refusal(before: &str, after: &str) -> Option<Refusal> {
        let folder = tempfile::tempdir().unwrap();
        let before = open(folder.path(), "cleanup.toml", before);
        let after = open(folder.path(), "cleanup.toml", after);
        Refusal::of((&before.0, &before.1), (&after.0, &after.1))
    }

    #[test]
    fn all_policies_are_never_dropped_and_some_are() {
        let both = format!("{POLICY}{OTHER}");
        for nothing in ["", "\n", "# nothing\n", "[files]\n", "[state]\n", "[server]\n"] {
            assert!(matches!(refusal(&both, nothing), Some(Refusal::NoPolicies(_))), "{nothing:?}");
        }
        let disabled = format!("{POLICY}enabled = false\n");
        for fewer in [POLICY, OTHER, &both, &disabled] {
            assert_eq!(refusal(&both, fewer), None, "{fewer}");
        }
        assert_eq!(refusal("", ""), None, "there were none before");
        assert_eq!(refusal("", POLICY), None);
    }

    #[test]
    fn a_token_is_never_dropped_and_may_become_another() {
        let guarded = format!("{POLICY}{TOKEN}");
        assert!(matches!(refusal(&guarded, POLICY), Some(Refusal::NoToken(_))));
        let listening = format!("{POLICY}[server]\nlisten = \"127.0.0.1:0\"\n");
        assert!(matches!(refusal(&guarded, &listening), Some(Refusal::NoToken(_))));
        assert_eq!(refusal(&guarded, &guarded.replace("token\"", "other\"")), None);
        assert_eq!(refusal(POLICY, &guarded), None);
    }

    #[test]
    fn what_the_token_is_for_is_never_dropped_and_may_be_said_otherwise() {
        let changes = format!("{POLICY}{TOKEN}");
        let everything = format!("{changes}token_for = \"everything\"\n");
        let said = format!("{changes}token_for = \"changes\"\n");
        assert!(matches!(refusal(&everything, &changes), Some(Refusal::OpensReading(_))));
        assert_eq!(refusal(&everything, &said), None);
        assert_eq!(refusal(&changes, &everything), None);
        assert_eq!(refusal(&said, &changes), None);
    }

    #[test]
    fn where_promises_are_kept_is_for_a_restart_to_change() {
        let kept = format!("{POLICY}[state]\nurl = \"sqlite:var/state.db\"\n");
        for other in [POLICY.to_owned(), kept.replace("var", "run"), kept.replace("sqlite:var/state.db", "none")] {
            assert!(matches!(refusal(&kept, &other), Some(Refusal::OtherMemory(_))), "{other}");
        }
        assert_eq!(refusal(&kept, &format!("{kept}keep_history = \"1d\"\n")), None);
    }

    #[test]
    fn another_file_does_not_come_in_by_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let one = open(folder.path(), "one.toml", POLICY);
        let other = open(folder.path(), "other.toml", POLICY);
        let refusal = Refusal::of((&one.0, &one.1), (&other.0, &other.1)).unwrap();
        assert!(matches!(refusal, Refusal::Elsewhere { .. }));
        assert!(refusal.to_string().contains("one.toml") && !refusal.in_short().contains("one.toml"));
    }
}
