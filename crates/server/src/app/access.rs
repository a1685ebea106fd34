//! The tokens, and the cookies that stand for them in browsers.
//!
//! Only digests of tokens are kept, and digests are compared in constant time. A browser exchanges a token for a cookie
//! that is another secret, drawn at random and forgotten when the service ends, so the token itself is never stored in a
//! browser.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use cleanup_core::config::{Config, NamedToken, SHORTEST_TOKEN, Server, TokenFor};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How long a cookie is good for.
pub const SESSION_LENGTH: Duration = Duration::from_secs(12 * 3600);

/// Cookies that are good at the same time; the oldest goes first.
const MAX_SESSIONS: usize = 256;

/// More than any token needs.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Why the token cannot be had. The service does not start, and a reload keeps what was.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is empty.
    #[error("the token file {} is empty: an empty token would let everybody in", .0.display())]
    Empty(PathBuf),
    /// The token cannot be sent in a header.
    #[error("the token in {} must be one line of printable ASCII without spaces, at most 4096 bytes", .0.display())]
    Unsendable(PathBuf),
    /// One token in two places: nobody could say who asks, or what it is good for.
    #[error("{} and {} hold the same token: each needs one of its own", .0.display(), .1.display())]
    Same(PathBuf, PathBuf),
}

/// Who asks for something: the name of the token that was sent, or of the user at the other end of a unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker(Option<Arc<str>>);

impl Asker {
    /// A user of this machine.
    pub(crate) fn of_user(uid: u32) -> Self {
        Self(Some(cleanup_engine::user_name(uid).into()))
    }

    /// The name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The name, to be kept.
    pub(crate) fn to_name(&self) -> Option<String> {
        self.name().map(str::to_owned)
    }
}

/// A token as it is kept.
#[derive(PartialEq, Eq)]
struct Token {
    digest: [u8; 32],
    asker: Asker,
}

/// Under which names the service may be called, and with which tokens.
pub struct Access {
    tokens: Vec<Token>,
    /// Good for reading `/metrics` and `/readyz`, and for nothing else.
    metrics_token: Option<[u8; 32]>,
    token_for: TokenFor,
    hosts: Vec<String>,
    warnings: Vec<String>,
}

impl Access {
    /// Reads the tokens that the configuration names, or else `$CREDENTIALS_DIRECTORY/token` where there is one. Blocks.
    pub fn read(config: &Config) -> Result<Self, TokenError> {
        let Server { token_file, tokens, metrics_token_file, token_for, hosts, .. } = &config.server;
        let mut access = Self {
            tokens: Vec::new(),
            metrics_token: None,
            token_for: *token_for,
            hosts: hosts.clone(),
            warnings: Vec::new(),
        };
        let mut known: Vec<([u8; 32], PathBuf)> = Vec::new();
        let mut take = |path: PathBuf, credential: &str, what: &str| {
            let (token, warnings) = read_or_credential(&path, credential, what)?;
            let digest = digest(token.expose_secret().as_bytes());
            if let Some((_, other)) = known.iter().find(|(known, _)| *known == digest) {
                return Err(TokenError::Same(other.clone(), path));
            }
            known.push((digest, path));
            access.warnings.extend(warnings);
            Ok(digest)
        };
        if let Some(path) = token_file.clone().or_else(|| credential("token")) {
            access.tokens.push(Token { digest: take(path, "token", "the token")?, asker: Asker::default() });
        }
        for NamedToken { name, file } in tokens {
            let digest = take(file.clone(), &format!("token-{name}"), &format!("the token `{name}`"))?;
            access.tokens.push(Token { digest, asker: Asker(Some(name.as_str().into())) });
        }
        if let Some(path) = metrics_token_file.clone().or_else(|| credential("metrics-token")) {
            access.metrics_token = Some(take(path, "metrics-token", "the token for metrics")?);
        }
        Ok(access)
    }

    /// Whether there is a token at all that is good for everything.
    pub fn has_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether there is one for metrics alone.
    pub(crate) fn has_metrics_token(&self) -> bool {
        self.metrics_token.is_some()
    }

    /// What is unwise about the tokens, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Which requests need a token, once there is one.
    pub(crate) fn token_for(&self) -> TokenFor {
        self.token_for
    }

    /// Host names, in lower case, under which it may be called besides `localhost` and IP literals.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether both ask for the same tokens, by the same names.
    pub(crate) fn has_same_tokens(&self, other: &Self) -> bool {
        self.tokens == other.tokens
    }

    /// Whose token this is; `None` when it is none. Compares with all of them, so that how long it takes says nothing of
    /// any.
    pub(crate) fn asker(&self, presented: &[u8]) -> Option<Asker> {
        let presented = digest(presented);
        let mut found = None;
        for token in &self.tokens {
            if token.digest.ct_eq(&presented).into() {
                found = Some(token.asker.clone());
            }
        }
        found
    }

    /// Whether this is the token for metrics.
    pub(crate) fn is_metrics_token(&self, presented: &[u8]) -> bool {
        self.metrics_token.is_some_and(|token| token.ct_eq(&digest(presented)).into())
    }
}

/// Neither the tokens nor their digests are ever shown.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("has_token", &self.has_token())
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// What systemd hands over under this name.
fn credential(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
    Some(Path::new(&folder).join(name)).filter(|path| path.exists())
}

/// A file that is root's alone can be read by the service manager only, which hands over what it says.
fn read_or_credential(path: &Path, name: &str, what: &str) -> Result<(SecretString, Vec<String>), TokenError> {
    match (read_token(path, what), credential(name)) {
        (Err(TokenError::Unreadable { error, .. }), Some(handed))
            if error.kind() == io::ErrorKind::PermissionDenied && handed != path =>
        {
            read_token(&handed, what)
        }
        (read, _) => read,
    }
}

fn read_token(path: &Path, what: &str) -> Result<(SecretString, Vec<String>), TokenError> {
    let unreadable = |error| TokenError::Unreadable { path: path.to_owned(), error };
    // Opening a pipe would wait for its other end, and a reload with it, for ever.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut text = String::new();
    let read = file.take(MAX_TOKEN_BYTES + 2).read_to_string(&mut text);
    let text = SecretString::from(text);
    match read {
        Ok(length) if length as u64 <= MAX_TOKEN_BYTES => {}
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(unreadable(error)),
        _ => return Err(TokenError::Unsendable(path.to_owned())),
    }
    let token = text.expose_secret().trim();
    if token.is_empty() {
        return Err(TokenError::Empty(path.to_owned()));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Unsendable(path.to_owned()));
    }
    let mut warnings = Vec::new();
    if mode & 0o004 != 0 {
        warnings.push(match what {
            "the token" => "everyone on this machine may read the token file".to_owned(),
            _ => format!("everyone on this machine may read the file of {what}"),
        });
    }
    if token.len() < SHORTEST_TOKEN {
        warnings.push(format!(
            "{what} is shorter than {SHORTEST_TOKEN} characters and can be guessed; from version 0.3 on it is \
             refused. `head -c 32 /dev/urandom | base64` makes a good one"
        ));
    }
    Ok((SecretString::from(token.to_owned()), warnings))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[derive(Debug)]
struct Session {
    digest: [u8; 32],
    ends: Instant,
    /// Whose token it stands for.
    asker: Asker,
}

/// The cookies that are good now. They live as long as the service.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The oldest first.
    open: Mutex<VecDeque<Session>>,
}

impl Sessions {
    /// A new cookie's value.
    pub(crate) fn begin(&self, asker: Asker) -> io::Result<String> {
        let mut secret = [0_u8; 32];
        let mut filled = 0;
        while filled < secret.len() {
            filled += rustix::rand::getrandom(&mut secret[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        let value = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_SESSIONS {
            open.pop_front();
        }
        open.push_back(Session { digest: digest(value.as_bytes()), ends: Instant::now() + SESSION_LENGTH, asker });
        Ok(value)
    }

    /// Ends one.
    pub(crate) fn end(&self, value: &str) {
        let ended = digest(value.as_bytes());
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|session| !bool::from(session.digest.ct_eq(&ended)));
    }

    /// Ends all of them: the tokens are others now.
    pub(crate) fn end_all(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whose cookie has this value; `None` when none has that is good now. Compares with all of them, as tokens are.
    pub(crate) fn asker(&self, value: &str) -> Option<Asker> {
        let (wanted, now) = (digest(value.as_bytes()), Instant::now());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|session| session.ends > now);
        let mut found = None;
        for session in &*open {
            if session.digest.ct_eq(&wanted).into() {
                found = Some(session.asker.clone());
            }
        }
        found
    }
}
