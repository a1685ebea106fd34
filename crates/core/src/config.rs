//! Configuration: what the TOML says, checked.
//!
//! Text becomes a [`Config`] in five steps, and an error of any step names its place in the file: the TOML is parsed
//! into a tree with positions; variables are expanded in the tree (`vars`); the tree becomes the raw types, key by
//! key (`structure`, `raw`, `values`); the meaning is
//! checked (`check`). Errors are collected, so that a file is mended in one go.
//!
//! Nothing here looks for the file, reads it or asks the environment: a [`Source`] and a lookup function come in.
//! Nothing here says whether a root, a table or a time zone exists: that is for whoever opens it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use crate::policy::{FilePolicy, Policy, SessionPolicy};

mod check;
mod diagnostic;
mod notify;
mod raw;
mod schema;
mod show;
mod structure;
mod values;
mod vars;

pub use diagnostic::{ConfigError, Diagnostic};
pub use notify::{Endpoint, Hidden, Notify, url_error, without_secrets};
pub use schema::schema;
pub use show::{Origin, Setting};

/// The built-in default: exactly the committed `deploy/cleanup.toml`.
pub const DEFAULT: &str = include_str!("../../../deploy/cleanup.toml");

/// The least length of a token, in characters: what is shorter can be guessed.
pub const SHORTEST_TOKEN: usize = 16;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
const KEEP_HISTORY: Duration = Duration::from_hours(90 * 24);
const MAX_HOLD: Duration = Duration::from_hours(90 * 24);
const BATCH_SIZE: u32 = 500;
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);

/// A configuration file's text, and what it needs to be understood.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name that errors give the file.
    pub name: &'a str,
    /// All of its text.
    pub text: &'a str,
    /// The absolute folder to which relative paths are relative: the file's own.
    pub folder: &'a Path,
}

/// What the program needs: checked, globs compiled, units parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rules for files, in the order of the file.
    pub files: Vec<FilePolicy>,
    /// The rules for session rows, in the order of the file.
    pub sessions: Vec<SessionPolicy>,
    /// The service.
    pub server: Server,
    /// Where the durable memory is.
    pub state: State,
    /// How long past runs are kept, positive (`keep_history` in `[state]`).
    pub keep_history: Duration,
    /// How long it is known what went and why (`removals_for` in `[state]`); `None` is not at all.
    pub removals: Option<Removals>,
    /// Where removals are written down; `None` is nowhere.
    pub audit: Option<Audit>,
    /// Who is told of findings, and what runs after files were removed; `None` is nobody and nothing.
    pub notify: Option<Notify>,
    /// The IANA name of the zone in which schedules run; `None` is local time. Not looked up yet.
    pub time_zone: Option<String>,
    /// Every effective value and where it came from, for `config show`.
    pub settings: Vec<Setting>,
}

/// The table `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The address to listen on; whether it may be, without a token, is checked at start.
    pub listen: SocketAddr,
    /// A unix socket to listen on as well, absolute.
    pub socket: Option<PathBuf>,
    /// Host names, in lower case, under which it may be called besides `localhost` and IP literals.
    pub hosts: Vec<String>,
    /// The file that holds the bearer token, absolute.
    pub token_file: Option<PathBuf>,
    /// More tokens, in the order of the file; no two have the same name.
    pub tokens: Vec<NamedToken>,
    /// The file that holds the token for `/metrics` and `/readyz` alone, absolute.
    pub metrics_token_file: Option<PathBuf>,
    /// Which requests need a token, once there is one.
    pub token_for: TokenFor,
    /// The longest time for which a request may hold a file, positive.
    pub max_hold: Duration,
    /// The tracked file policy of which `/cleanup/stats` speaks; `None` is the first tracked one.
    pub stats_policy: Option<String>,
}

/// An entry of `[server.tokens]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// Who has it: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// The file that holds it, absolute.
    pub file: PathBuf,
}

/// The key `token_for` in `[server]`: which requests need a token, once there is one. A request from elsewhere
/// always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFor {
    /// All of them, but for the two health pages.
    Everything,
    /// Those that change something; reading is open to every process of this machine.
    Changes,
}

impl Server {
    /// Every file that holds a token.
    pub fn token_files(&self) -> impl Iterator<Item = &Path> {
        let Self { token_file, tokens, metrics_token_file, .. } = self;
        let named = tokens.iter().map(|token| token.file.as_path());
        token_file.as_deref().into_iter().chain(named).chain(metrics_token_file.as_deref())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            socket: None,
            hosts: Vec::new(),
            token_file: None,
            tokens: Vec::new(),
            metrics_token_file: None,
            token_for: TokenFor::Changes,
            max_hold: MAX_HOLD,
            stats_policy: None,
        }
    }
}

/// The bounds of the log of removals, in `[state]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removals {
    /// How long an entry is kept, positive (`removals_for`).
    pub keep_for: Duration,
    /// The size in bytes beyond which the oldest entries go (`removals_max_size`); at least 1 MiB.
    pub max_bytes: u64,
}

/// The table `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file, absolute.
    pub file: PathBuf,
    /// The size in bytes at which a new one is begun; at least 4,096.
    pub max_bytes: u64,
    /// How many full ones are kept beside it, at least 1.
    pub keep: u32,
}

/// The key `url` in `[state]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not set: the place follows from where the configuration file is.
    Default,
    /// `none`: nothing is remembered.
    None,
    /// `sqlite:PATH`, absolute.
    Sqlite(PathBuf),
}

/// The policy that the keys of one `[files.NAME]` make; `None` where they make none, or name another table.
pub(crate) fn file_policy(keys: &str) -> Option<FilePolicy> {
    let text = format!("[files.earlier]\n{keys}\n");
    let source = Source { name: "", text: &text, folder: Path::new("/") };
    Config::load(&source, &|_| None).ok()?.files.pop()
}

impl Config {
    /// Reads and checks a configuration. `env` answers what an environment variable holds.
    pub fn load(source: &Source<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let error = |secrets: &[_], problems| ConfigError::new(source.name, source.text, secrets, problems);
        let mut tree = DeTable::parse(source.text).map_err(|syntax| error(&[], vec![structure::syntax(&syntax)]))?;
        let secrets = show::secrets(tree.get_ref(), source.text);

        let mut problems = Vec::new();
        let variables = vars::expand(tree.get_mut(), env, &mut problems);
        let structure = structure::read(tree.clone(), &mut problems);
        let config = check::check(&structure, source.folder, &variables, &mut problems);
        match config {
            Some(config) if problems.is_empty() => {
                Ok(Self { settings: show::settings(tree.get_ref(), source.text, source.folder, &variables), ..config })
            }
            _ => {
                let problems = problems.into_iter().map(|problem| variables.explain(problem)).collect();
                Err(error(&secrets, problems))
            }
        }
    }

    /// The policy whose name is nearest to one that does not exist, when one is near enough to be what was meant.
    pub fn nearest_policy(&self, name: &str) -> Option<&str> {
        diagnostic::did_you_mean(name, self.rules().map(|rule| rule.name.as_str()))
    }

    /// Whether the file itself sets this key, such as `server.token_for`, and does not leave it to its default.
    pub fn sets(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == key && setting.origin != Origin::Default)
    }

    /// The rules of all policies, files first, in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &Policy> {
        self.files.iter().map(|policy| &policy.rule).chain(self.sessions.iter().map(|policy| &policy.rule))
    }
}
