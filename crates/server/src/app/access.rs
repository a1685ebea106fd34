//! The token, and the cookies that stand for it in browsers.
//!
//! Only the digest of the token is kept, and digests are compared in constant time. A browser exchanges the token for a
//! cookie that is another secret, drawn at random and forgotten when the service ends, so the token itself is never
//! stored in a browser.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use cleanup_core::config::{Config, SHORTEST_TOKEN, Server, TokenFor};
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
}

/// Under which names the service may be called, and with which token.
pub struct Access {
    token: Option<[u8; 32]>,
    token_for: TokenFor,
    hosts: Vec<String>,
    warnings: Vec<String>,
}

impl Access {
    /// Reads the token that the configuration names, or else `$CREDENTIALS_DIRECTORY/token` where there is one. Blocks.
    pub fn read(config: &Config) -> Result<Self, TokenError> {
        let credential = || {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
            Some(Path::new(&folder).join("token")).filter(|path| path.exists())
        };
        let Server { token_file, token_for, hosts, .. } = &config.server;
        let mut access = Self { token: None, token_for: *token_for, hosts: hosts.clone(), warnings: Vec::new() };
        if let Some(path) = token_file.clone().or_else(credential) {
            let (token, warnings) = read_token(&path)?;
            access.token = Some(digest(token.expose_secret().as_bytes()));
            access.warnings = warnings;
        }
        Ok(access)
    }

    /// Whether there is a token at all.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// What is unwise about the token, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Which requests need the token, once there is one.
    pub(crate) fn token_for(&self) -> TokenFor {
        self.token_for
    }

    /// Host names, in lower case, under which it may be called besides `localhost` and IP literals.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether both ask for the same token.
    pub(crate) fn has_same_token(&self, other: &Self) -> bool {
        self.token == other.token
    }

    /// Whether this is the token.
    pub(crate) fn is_token(&self, presented: &[u8]) -> bool {
        self.token.is_some_and(|token| token.ct_eq(&digest(presented)).into())
    }
}

/// Neither the token nor its digest is ever shown.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("has_token", &self.has_token())
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

fn read_token(path: &Path) -> Result<(SecretString, Vec<String>), TokenError> {
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
        warnings.push("everyone on this machine may read the token file".to_owned());
    }
    if token.len() < SHORTEST_TOKEN {
        warnings.push(format!(
            "the token is shorter than {SHORTEST_TOKEN} characters and can be guessed; from version 0.3 on it is \
             refused. `head -c 32 /dev/urandom | base64` makes a good one"
        ));
    }
    Ok((SecretString::from(token.to_owned()), warnings))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The cookies that are good now. They live as long as the service.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Digests and when they end, the oldest first.
    open: Mutex<VecDeque<([u8; 32], Instant)>>,
}

impl Sessions {
    /// A new cookie's value.
    pub(crate) fn begin(&self) -> io::Result<String> {
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
        open.push_back((digest(value.as_bytes()), Instant::now() + SESSION_LENGTH));
        Ok(value)
    }

    /// Ends one.
    pub(crate) fn end(&self, value: &str) {
        let ended = digest(value.as_bytes());
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(digest, _)| !bool::from(digest.ct_eq(&ended)));
    }

    /// Ends all of them: the token is another one now.
    pub(crate) fn end_all(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a cookie with this value is good now.
    pub(crate) fn knows(&self, value: &str) -> bool {
        let (wanted, now) = (digest(value.as_bytes()), Instant::now());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, ends)| *ends > now);
        open.iter().fold(subtle::Choice::from(0), |found, (digest, _)| found | digest.ct_eq(&wanted)).into()
    }
}
