//! Where the service listens.
//!
//! What systemd hands over wins; else there is the address of `[server] listen` and, when set, the unix socket of
//! `[server] socket`. An address that others can reach is refused without a token, wherever the socket came from: a
//! retention engine obeys whoever may talk to it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use cleanup_core::config::Server;

use super::socket::{Address, ListenError, Listener, Socket, is_loopback};
use super::{activation, unix};

/// Opens all sockets, ready to take connections: those that systemd handed over, else those of the configuration.
pub fn open(server: &Server, has_token: bool) -> Result<Vec<Listener>, ListenError> {
    let inherited = activation::sockets()?;
    let listeners = if inherited.is_empty() { configured(server, has_token)? } else { inherited };
    match listeners.iter().find_map(Listener::reachable_by_others) {
        Some(address) if !has_token => Err(ListenError::NoToken(address)),
        _ => Ok(listeners),
    }
}

fn configured(server: &Server, has_token: bool) -> Result<Vec<Listener>, ListenError> {
    // Before anything is bound: nobody may slip in between.
    if !has_token && !is_loopback(server.listen) {
        return Err(ListenError::NoToken(server.listen));
    }
    let mut listeners = vec![tcp(server.listen)?];
    if let Some(path) = &server.socket {
        let (socket, file) = unix::bind(path).map_err(|problem| ListenError::Unix { path: path.clone(), problem })?;
        let address = Address::Unix(path.clone());
        listeners.push(Listener { socket: Socket::Unix(socket), address, file: Some(file) });
    }
    Ok(listeners)
}

/// Listens on an address, whoever can reach it. Port 0 is any free one.
fn tcp(address: SocketAddr) -> Result<Listener, ListenError> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(Listener { address: Address::Tcp(socket.local_addr()?), socket: Socket::Tcp(socket), file: None })
    });
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::InUse(address),
        _ => ListenError::Bind(address, error),
    })
}

#[cfg(test)]
mod tests;
