use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use super::*;
use crate::fixture::{another_process, role};
use crate::net::socket::Peer;

fn server(listen: &str) -> Server {
    Server { listen: listen.parse().unwrap(), ..Server::default() }
}

fn with_socket(path: &Path) -> Server {
    Server { socket: Some(path.to_owned()), ..server("127.0.0.1:0") }
}

fn refusal(server: &Server) -> String {
    open(server, false).unwrap_err().to_string()
}

#[test]
fn the_address_says_the_port_that_was_chosen() {
    let listeners = open(&server("127.0.0.1:0"), false).unwrap();
    let Address::Tcp(address) = listeners[0].address() else { panic!("no TCP socket") };
    assert_ne!(address.port(), 0);
    assert_eq!(listeners[0].address().to_string(), format!("http://{address}"));
}

#[test]
fn what_others_can_reach_is_refused_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000", "[::ffff:192.0.2.1]:8000"] {
        let refused = refusal(&server(address));
        assert!(refused.starts_with(&format!("refusing to listen on {address} without a token")), "{refused}");
        assert!(refused.contains("`token_file`") && refused.contains("`listen`"), "{refused}");
    }
    assert!(open(&server("0.0.0.0:0"), true).is_ok());
    assert!(open(&server("127.0.0.2:0"), false).is_ok());
    assert_eq!(Peer::of("[::ffff:127.0.0.1]:1".parse().unwrap()), Peer::Loopback);
    assert_eq!(Peer::of("192.0.2.1:1".parse().unwrap()), Peer::Remote);
}

#[test]
fn a_taken_address_names_the_likely_cause_and_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = refusal(&server(&address.to_string()));
    assert!(refused.contains(&format!("cannot listen on {address}: the address is in use")), "{refused}");
    assert!(
        refused.contains("another instance of this service") && refused.contains("`listen` in `[server]`"),
        "{refused}"
    );
    let usual = ListenError::InUse("127.0.0.1:8000".parse().unwrap()).to_string();
    assert!(usual.contains("probably by the application itself, which commonly uses port 8000"), "{usual}");
}

#[test]
fn an_address_of_another_machine_is_an_error_with_its_key() {
    let error = open(&server("192.0.2.1:8000"), true).unwrap_err().to_string();
    assert!(error.contains("192.0.2.1:8000 (`listen` in `[server]`)"), "{error}");
}

#[test]
fn the_socket_is_open_to_owner_and_group_whatever_the_umask() {
    if let Some(path) = role() {
        let listeners = open(&with_socket(Path::new(&path)), false).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o660);
        assert_eq!(listeners[1].address().to_string(), format!("unix:{path}"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for umask in ["0000", "0022", "0077", "0777"] {
        let test = concat!(module_path!(), "::the_socket_is_open_to_owner_and_group_whatever_the_umask");
        let setup = format!("umask {umask} && exec \"$@\"");
        let status = another_process(test, path.to_str().unwrap(), &setup).status().unwrap();
        assert!(status.success() && !path.exists(), "umask {umask}");
    }
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left by a dead process");
    let listeners = open(&with_socket(&path), false).unwrap();
    UnixStream::connect(&path).unwrap();
    let refused = refusal(&with_socket(&path));
    assert!(refused.contains("another process listens there already") && refused.contains("`socket`"), "{refused}");
    drop(listeners);
    assert!(!path.exists());
}

#[test]
fn a_live_socket_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _live = UnixDatagram::bind(&path).unwrap();
    assert!(refusal(&with_socket(&path)).contains("another process"));
    assert!(path.exists());
}

#[test]
fn what_is_no_socket_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [folder.path(), &file, &link] {
        assert!(refusal(&with_socket(path)).contains("not a socket"), "{}", path.display());
    }
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
    assert!(refusal(&with_socket(&folder.path().join("x".repeat(120)))).contains("too long"));
    assert!(refusal(&with_socket(&folder.path().join("missing/socket"))).contains("No such file"));
}

#[test]
fn a_socket_that_is_not_ours_any_more_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listeners = open(&with_socket(&path), false).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    let _others = UnixListener::bind(&path).unwrap();
    drop(listeners);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

const ACTIVATED: &str = concat!(module_path!(), "::sockets_of_the_service_manager_win");

/// Starts a process with `socket` as its descriptor 3, as a service manager does.
fn activate(role: &str, socket: impl Into<OwnedFd>, setup: &str) -> bool {
    let setup = format!("export LISTEN_PID=$$ LISTEN_FDS=1; {setup} exec \"$@\" 3<&0 </dev/null");
    let mut command = another_process(ACTIVATED, role, &setup);
    command.stdin(std::process::Stdio::from(socket.into())).status().unwrap().success()
}

/// The tests of activation: this process is the service manager and starts itself as the service.
#[test]
fn sockets_of_the_service_manager_win() {
    let opened = |has_token| open(&server("127.0.0.1:1"), has_token);
    match role().as_deref() {
        None => {}
        Some("unix") => {
            let listeners = opened(false).unwrap();
            assert!(
                matches!(&listeners[..], [Listener { address: Address::Unix(path), file: None, .. }] if path.ends_with("socket"))
            );
            return;
        }
        Some("others") => {
            return assert!(matches!(opened(false), Err(ListenError::NoToken(_))) && opened(true).is_ok());
        }
        Some("foreign") => return assert!(activation::sockets().unwrap().is_empty(), "not meant for us"),
        Some("wrong") => {
            let error = opened(true).unwrap_err().to_string();
            return assert!(error.contains("descriptor 3") && error.contains("ListenStream="), "{error}");
        }
        Some(address) => {
            let listeners = opened(false).unwrap();
            assert_eq!(listeners[0].address().to_string(), format!("http://{address}"));
            let Socket::Tcp(socket) = &listeners[0].socket else { panic!("no TCP socket") };
            socket.set_nonblocking(false).unwrap();
            io::Write::write_all(&mut socket.accept().unwrap().0, b"hello").unwrap();
            return;
        }
    }

    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    assert!(activate(&address.to_string(), socket.try_clone().unwrap(), ""));
    assert_eq!(io::read_to_string(&mut client).unwrap(), "hello");
    assert!(activate("foreign", socket, "LISTEN_PID=1;"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(activate("unix", UnixListener::bind(&path).unwrap(), ""));
    assert!(path.exists(), "the service manager's to remove");
    assert!(activate("others", TcpListener::bind("0.0.0.0:0").unwrap(), ""));
    assert!(activate("wrong", std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), ""));
    assert!(activate("wrong", UnixStream::pair().unwrap().0, ""));
}
