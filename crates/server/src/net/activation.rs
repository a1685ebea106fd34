//! Sockets that the service manager opened before it started us: `LISTEN_FDS`, `LISTEN_PID`.

use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg};
use sendfd::SendWithFd as _;

use super::socket::{Address, ListenError, Listener, Socket};

/// All of them, in their order; none when there are none or they are meant for another process.
pub(super) fn sockets() -> Result<Vec<Listener>, ListenError> {
    let numbers = sd_notify::listen_fds().map_err(ListenError::Activation)?;
    numbers.map(|number| socket(number).map_err(|problem| ListenError::Inherited { number, problem })).collect()
}

fn socket(number: RawFd) -> io::Result<Listener> {
    let descriptor = own(number)?;
    if socket_type(&descriptor)? != SocketType::STREAM || !socket_acceptconn(&descriptor)? {
        return Err(io::Error::new(ErrorKind::InvalidInput, "expected a stream socket that listens (ListenStream=)"));
    }
    let (socket, address) = match socket_domain(&descriptor)? {
        AddressFamily::INET | AddressFamily::INET6 => {
            let socket = TcpListener::from(descriptor);
            socket.set_nonblocking(true)?;
            let address = Address::Tcp(socket.local_addr()?);
            (Socket::Tcp(socket), address)
        }
        AddressFamily::UNIX => {
            let socket = UnixListener::from(descriptor);
            socket.set_nonblocking(true)?;
            let path = socket.local_addr()?.as_pathname().map(Into::into).unwrap_or_default();
            (Socket::Unix(socket), Address::Unix(path))
        }
        family => {
            let family = family.as_raw();
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("address family {family} is not supported")));
        }
    };
    // A file of the service manager's is the service manager's to remove.
    Ok(Listener { socket, address, file: None })
}

/// Makes an owned descriptor of a bare number without `unsafe`: sent to ourselves over a pair of sockets, it arrives
/// as one of its own. The number itself stays open, as it does in the service manager.
fn own(number: RawFd) -> io::Result<OwnedFd> {
    let (near, far) = UnixStream::pair()?;
    near.send_with_fd(&[0], &[number])?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&far, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let arrived = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    arrived.ok_or_else(|| io::Error::other("it was not passed"))
}
