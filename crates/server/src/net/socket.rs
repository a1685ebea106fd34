//! A socket that takes connections, where it does, and who is at the other end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use cleanup_core::candidate::Escaped;

use super::unix::{Problem as SocketProblem, SocketFile};

/// Who is at the other end of a connection; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine, over a loopback address. Not necessarily a friend: any user, any browser, and
    /// any proxy with whoever stands behind it.
    Loopback,
    /// A process of this machine, over a unix socket, which the socket's mode let in.
    Unix {
        /// The user who connected, as the kernel says.
        uid: u32,
    },
    /// Anybody else.
    Remote,
}

impl Peer {
    pub(super) fn of(address: SocketAddr) -> Self {
        if is_loopback(address) { Self::Loopback } else { Self::Remote }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    pub(super) address: Address,
    /// The socket's file, when it is ours to remove.
    pub(super) file: Option<SocketFile>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a socket takes connections. `Display` is what people type: `http://127.0.0.1:8000`, `unix:/run/cleanup.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path; empty for a socket without one.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", Escaped(path.as_os_str().as_bytes())),
        }
    }
}

/// Why the service cannot listen. Says which key to change.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Everybody who reaches the address could have files deleted.
    #[error(
        "refusing to listen on {0} without a token: others can reach it; set `token_file` in `[server]`, or `listen` \
         to a loopback address such as `127.0.0.1:8000`"
    )]
    NoToken(SocketAddr),
    /// Somebody else listens there.
    #[error("cannot listen on {0}: the address is in use, probably by {culprit}; set another one with `listen` in \
             `[server]`", culprit = culprit(*.0))]
    InUse(SocketAddr),
    /// Anything else that is wrong with the address.
    #[error("cannot listen on {0} (`listen` in `[server]`): {1}")]
    Bind(SocketAddr, io::Error),
    /// The unix socket.
    #[error("cannot listen on the socket \"{}\" (`socket` in `[server]`): {problem}",
        Escaped(path.as_os_str().as_bytes()))]
    Unix {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        problem: SocketProblem,
    },
    /// What systemd handed over.
    #[error("cannot use descriptor {number} passed by the service manager: {problem}")]
    Inherited {
        /// Its number.
        number: i32,
        /// What is wrong with it.
        problem: io::Error,
    },
    /// `LISTEN_FDS` or `LISTEN_PID` is no number.
    #[error("cannot determine which sockets the service manager passed: {0}")]
    Activation(io::Error),
}

impl Listener {
    /// Where it takes connections, with the port that was chosen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn reachable_by_others(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Tcp(address) if !is_loopback(address) => Some(address),
            _ => None,
        }
    }
}

/// Who is likely to sit on an address.
fn culprit(address: SocketAddr) -> &'static str {
    match address.port() {
        8000 => "the application itself, which commonly uses port 8000",
        _ => "another program or another instance of this service",
    }
}

/// An IPv4 address in an IPv6 one counts as what it is.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
