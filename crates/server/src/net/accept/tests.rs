use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

use axum::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::fixture::{another_process, role};
use crate::net::listen::open;
use crate::net::socket::Address;

const SOON: Duration = Duration::from_secs(5);

struct Service {
    address: SocketAddr,
    socket: std::path::PathBuf,
    /// Gets a permit for each request that is at `/slow`.
    taken: Arc<Semaphore>,
    /// Lets one answer of `/slow` go for each permit.
    gate: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
    _folder: tempfile::TempDir,
}

fn start(limits: Limits) -> Service {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let configured = cleanup_core::config::Server {
        listen: "127.0.0.1:0".parse().unwrap(),
        socket: Some(socket.clone()),
        ..cleanup_core::config::Server::default()
    };
    let listeners = open(&configured, false).unwrap();
    let Address::Tcp(address) = *listeners[0].address() else { panic!("no TCP socket") };
    let (taken, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (arrived, opened) = (Arc::clone(&taken), Arc::clone(&gate));
    let slow = move || async move {
        arrived.add_permits(1);
        opened.acquire().await.unwrap().forget();
        "slow"
    };
    let endless =
        || async { Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, io::Error>([0; 1024].as_slice()))) };
    let router = Router::new()
        .route("/peer", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/slow", get(slow))
        .route("/endless", get(endless));
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listeners, router, limits, stop.clone()));
    Service { address, socket, taken, gate, stop, task, _folder: folder }
}

impl Service {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until so many requests are in hand at `/slow`.
    async fn has_in_hand(&self, requests: u32) {
        soon(self.taken.acquire_many(requests)).await.unwrap().forget();
    }

    async fn end(self) -> Duration {
        let before = Instant::now();
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
        before.elapsed()
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

async fn ask<S: AsyncWrite + Unpin>(stream: &mut S, request: &str) {
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
}

/// An answer whose end follows from its `content-length`.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut text = String::new();
    soon(async {
        loop {
            let mut byte = [0];
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            text.push(char::from(byte[0]));
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                    return;
                }
            }
        }
    })
    .await;
    text
}

async fn get_peer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> String {
    ask(stream, "GET /peer HTTP/1.1\nHost: localhost\n\n").await;
    answer(stream).await
}

/// The other end closed the connection: an end of file or a reset.
async fn is_closed(stream: &mut TcpStream) -> bool {
    soon(stream.read(&mut [0; 64])).await.unwrap_or(0) == 0
}

#[tokio::test]
async fn the_peer_is_known_over_tcp_and_over_the_unix_socket() {
    let service = start(Limits::default());
    assert!(get_peer(&mut service.connect().await).await.ends_with("\r\n\r\nLoopback"));
    let uid = std::fs::metadata(&service.socket).unwrap().uid();
    let mut unix = UnixStream::connect(&service.socket).await.unwrap();
    let answer = get_peer(&mut unix).await;
    assert!(answer.ends_with(&format!("\r\n\r\nUnix {{ uid: {uid} }}")), "{answer}");
    let socket = service.socket.clone();
    assert!(socket.exists());
    service.end().await;
    assert!(!socket.exists(), "removed at the end");
}

#[tokio::test]
async fn what_is_no_clear_request_is_a_bad_request() {
    let service = start(Limits::default());
    for head in [
        "Content-Length: 3\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked\nTransfer-Encoding: nonsense",
        "Na me: x",
    ] {
        let mut stream = service.connect().await;
        ask(&mut stream, &format!("POST /echo HTTP/1.1\nHost: localhost\n{head}\n\nabcd")).await;
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer:?}");
    }
    let mut stream = service.connect().await;
    ask(&mut stream, "\u{16}\u{3}\u{1} hello over TLS\n\n").await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 400 "));
    assert!(get_peer(&mut service.connect().await).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_request_with_both_lengths_is_read_as_chunked_and_closes() {
    let service = start(Limits::default());
    let mut stream = service.connect().await;
    let both = "POST /echo HTTP/1.1\nHost: localhost\nContent-Length: 4\nTransfer-Encoding: chunked\n\n";
    ask(&mut stream, &format!("{both}0\n\nGET /peer HTTP/1.1\nHost: localhost\n\n")).await;
    let first = answer(&mut stream).await;
    assert!(first.starts_with("HTTP/1.1 400 ") || first.contains("content-length: 0"), "{first}");
}

#[tokio::test]
async fn headers_that_do_not_come_are_not_awaited() {
    let service = start(Limits { header_timeout: Duration::from_millis(50), ..Limits::default() });
    let (mut silent, mut slow, mut again) = (service.connect().await, service.connect().await, service.connect().await);
    ask(&mut slow, "GET /peer HTTP/1.1\nHost: loc").await;
    get_peer(&mut again).await;
    assert!(is_closed(&mut silent).await && is_closed(&mut again).await);
    let rest = answer(&mut slow).await;
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

#[tokio::test]
async fn the_connection_that_was_idle_the_longest_makes_room() {
    let service = start(Limits { connections: 4, ..Limits::default() });
    let mut busy = service.connect().await;
    ask(&mut busy, "GET /slow HTTP/1.1\nHost: localhost\n\n").await;
    service.has_in_hand(1).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = service.connect().await;
        get_peer(&mut stream).await;
        idle.push(stream);
    }
    assert!(get_peer(&mut idle[0]).await.ends_with("Loopback"), "nobody had to go yet");
    assert!(get_peer(&mut service.connect().await).await.ends_with("Loopback"));
    assert!(is_closed(&mut idle[1]).await);
    assert!(get_peer(&mut idle[0]).await.ends_with("Loopback"));
    service.gate.add_permits(1);
    assert!(answer(&mut busy).await.ends_with("slow"));
}

#[tokio::test]
async fn a_thousand_silent_connections_do_not_keep_a_new_one_out() {
    let service = start(Limits { connections: 100, ..Limits::default() });
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(service.connect().await);
    }
    let before = Instant::now();
    assert!(get_peer(&mut service.connect().await).await.ends_with("Loopback"));
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(is_closed(&mut silent[0]).await);
}

#[tokio::test]
async fn when_all_are_busy_the_next_waits_for_one_to_finish() {
    let service = start(Limits { connections: 2, ..Limits::default() });
    let mut busy = [service.connect().await, service.connect().await];
    for stream in &mut busy {
        ask(stream, "GET /slow HTTP/1.1\nHost: localhost\n\n").await;
    }
    service.has_in_hand(2).await;
    let mut third = service.connect().await;
    ask(&mut third, "GET /slow HTTP/1.1\nHost: localhost\n\n").await;
    service.gate.add_permits(3);
    for stream in busy.iter_mut().chain([&mut third]) {
        assert!(answer(stream).await.ends_with("slow"));
    }
}

#[tokio::test]
async fn a_burst_is_served_in_turns_and_nobody_is_pushed_out() {
    let service = start(Limits { connections: 10, ..Limits::default() });
    let mut burst = Vec::new();
    for _ in 0..50 {
        let mut stream = service.connect().await;
        ask(&mut stream, "GET /peer HTTP/1.1\nHost: localhost\n\n").await;
        burst.push(stream);
    }
    for stream in &mut burst {
        assert!(answer(stream).await.ends_with("Loopback"));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut_off() {
    let service = start(Limits { write_timeout: Duration::from_millis(100), ..Limits::default() });
    let mut stream = service.connect().await;
    ask(&mut stream, "GET /endless HTTP/1.1\nHost: localhost\n\n").await;
    let stop = service.stop.clone();
    stream.readable().await.unwrap();
    let before = Instant::now();
    stop.cancel();
    soon(service.task).await.unwrap().unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "sooner than the grace");
}

#[tokio::test]
async fn the_end_closes_idle_connections_at_once() {
    let service = start(Limits::default());
    let (mut fresh, mut kept) = (service.connect().await, service.connect().await);
    get_peer(&mut kept).await;
    let took = service.end().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(is_closed(&mut fresh).await && is_closed(&mut kept).await);
}

#[tokio::test]
async fn the_end_awaits_the_request_in_hand() {
    let service = start(Limits::default());
    let mut stream = service.connect().await;
    ask(&mut stream, "GET /slow HTTP/1.1\nHost: localhost\n\n").await;
    service.has_in_hand(1).await;
    service.stop.cancel();
    service.gate.add_permits(1);
    assert!(answer(&mut stream).await.ends_with("slow"));
    assert!(is_closed(&mut stream).await);
    soon(service.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_does_not_await_it_for_ever() {
    let service = start(Limits { grace: Duration::from_millis(100), ..Limits::default() });
    let (mut slow, mut endless) = (service.connect().await, service.connect().await);
    ask(&mut slow, "GET /slow HTTP/1.1\nHost: localhost\n\n").await;
    ask(&mut endless, "GET /endless HTTP/1.1\nHost: localhost\n\n").await;
    endless.read_exact(&mut [0; 1000]).await.unwrap();
    service.has_in_hand(1).await;
    let took = service.end().await;
    assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(2), "{took:?}");
    assert!(is_closed(&mut slow).await);
}

#[test]
fn few_descriptors_mean_few_connections() {
    let connections = |descriptors| Limits::within(descriptors).connections;
    assert_eq!(connections(None), 512);
    assert_eq!(connections(Some(1024)), 512);
    assert_eq!(connections(Some(256)), 208);
    assert_eq!(connections(Some(64)), 16);
    assert_eq!(connections(Some(0)), 8);
    assert_eq!(connections(Some(u64::MAX)), 512);
}

/// With 64 descriptors and 200 connections, and no limit that knows of it.
#[test]
fn a_lack_of_descriptors_is_survived_without_a_busy_loop() {
    let Some(role) = role() else {
        for role in ["unaware", "aware"] {
            let test = concat!(module_path!(), "::a_lack_of_descriptors_is_survived_without_a_busy_loop");
            let mut service = another_process(test, role, "ulimit -n 64 && exec \"$@\"");
            service.stdout(std::process::Stdio::piped()).stdin(std::process::Stdio::piped());
            crowd(service.spawn().unwrap());
        }
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits = if role == "aware" { Limits::of_this_process() } else { Limits::default() };
        let service = start(Limits { header_timeout: Duration::from_secs(1), ..limits });
        println!("\naddress {}", service.address);
        tokio::task::spawn_blocking(|| io::read_to_string(io::stdin())).await.unwrap().unwrap();
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        println!("\nused {}", used.tv_sec * 1000 + used.tv_nsec / 1_000_000);
    });
}

fn crowd(mut service: std::process::Child) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = |what: &str| lines.find_map(|line| line.strip_prefix(what).map(str::to_owned)).unwrap();
    let address: SocketAddr = told("address ").parse().unwrap();
    let connect = || {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let begin = std::time::Instant::now();
    let silent: Vec<_> = (0..200).map(|_| connect()).collect();
    let mut asking = connect();
    asking.write_all(b"GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("Loopback"), "{answer:?}");
    // The last of them is closed when its headers did not come; until then there is nothing to do.
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    drop(service.stdin.take());
    let used_ms: u128 = told("used ").parse().unwrap();
    let elapsed_ms = begin.elapsed().as_millis();
    assert!(used_ms < elapsed_ms / 4, "{used_ms} ms of processor time in {elapsed_ms} ms");
    assert!(service.wait().unwrap().success());
}
