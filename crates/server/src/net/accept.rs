//! Takes connections and lets a router answer them.
//!
//! The limits are here because only here they can be kept: how many connections, how long headers may take, how long a
//! client may leave an answer unread, how long the end may take. What a request may hold, and for how long it may be
//! answered, is for the router.

use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use futures_util::future::join_all;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connection_limit::{ConnectionLimit, InHand};
use super::socket::{Listener, Peer, Socket};
use super::write_timeout::WriteTimeout;

/// Descriptors that the rest of the service needs: the walk's sixteen, the databases, the watches, the runtime's own.
const RESERVED_DESCRIPTORS: usize = 48;
/// Connections that are taken however few descriptors there are.
const FEWEST_CONNECTIONS: usize = 8;
/// How long the last bytes of an answer may take on a connection that is sent away.
const LAST_BYTES: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How much clients may ask of the service's sockets, all listeners together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; beyond them the one that has been idle the longest is closed.
    pub connections: usize,
    /// The time for a request's headers; also how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a client may leave an answer without reading on.
    pub write_timeout: Duration,
    /// How long requests in hand are awaited at the end.
    pub grace: Duration,
}

impl Default for Limits {
    /// 512 connections, 10 s, 20 s, 5 s.
    fn default() -> Self {
        Self {
            connections: 512,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The default, with as many connections as this process's limit of open files leaves room for.
    pub fn of_this_process() -> Self {
        Self::within(getrlimit(Resource::Nofile).current)
    }

    fn within(descriptors: Option<u64>) -> Self {
        let all = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let left = all.saturating_sub(RESERVED_DESCRIPTORS).max(FEWEST_CONNECTIONS);
        let default = Self::default();
        Self { connections: default.connections.min(left), ..default }
    }
}

/// Serves until `stop`; then no connection is taken any more, idle ones end at once, and requests in hand get
/// `limits.grace`. Streams without an end must look at `stop` themselves, or are cut off then.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = Server {
        router,
        limits,
        stop,
        cut: CancellationToken::new(),
        limit: ConnectionLimit::new(limits.connections),
        tasks: TaskTracker::new(),
    };
    let doors = listeners.into_iter().map(Door::open).collect::<io::Result<Vec<_>>>()?;
    join_all(doors.into_iter().map(|door| server.accept(door))).await;
    server.tasks.close();
    if tokio::time::timeout(limits.grace, server.tasks.wait()).await.is_err() {
        tracing::warn!("{} connections were closed during a request", server.tasks.len());
        server.cut.cancel();
        server.tasks.wait().await;
    }
    Ok(())
}

struct Server {
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    /// Ends what is left after the grace.
    cut: CancellationToken,
    limit: Arc<ConnectionLimit>,
    tasks: TaskTracker,
}

impl Server {
    async fn accept(&self, door: Door) {
        let mut pause = FIRST_PAUSE;
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = self.stop.run_until_cancelled(async {
                self.limit.room().await;
                self.enter(&door).await
            });
            match accepted.await {
                None => return,
                Some(Ok(())) => pause = FIRST_PAUSE,
                Some(Err(error)) if is_the_clients(&error) => {}
                Some(Err(error)) => {
                    // No descriptors, no memory: the connection stays in the queue, and asking again at once is idle
                    // talk. Somebody who leaves makes room earlier than the pause.
                    if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!("cannot accept connections: {error}; the limit of open files may be too low");
                    }
                    self.limit.evict();
                    let room = tokio::time::timeout(pause, self.limit.change());
                    let _ = self.stop.run_until_cancelled(room).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn enter(&self, door: &Door) -> io::Result<()> {
        match &door.socket {
            AsyncSocket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Answers are written whole; waiting for more to send with them only makes them late.
                let _ = stream.set_nodelay(true);
                self.spawn(stream, Peer::of(address));
            }
            AsyncSocket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred()?.uid();
                self.spawn(stream, Peer::Unix { uid });
            }
        }
        Ok(())
    }

    fn spawn(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: Peer) {
        let place = Arc::new(self.limit.enter(self.stop.child_token()));
        let (router, cut) = (self.router.clone(), self.cut.clone());
        let service = {
            let place = Arc::clone(&place);
            service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                let in_hand = place.begin();
                let answer = router.clone().oneshot(request.map(Body::new));
                async move { answer.await.map(|response| response.map(|body| Answer { body, _in_hand: in_hand })) }
            })
        };
        let stream = TokioIo::new(WriteTimeout::new(stream, self.limits.write_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .serve_connection(stream, service);
        self.tasks.spawn(async move {
            let mut connection = pin!(connection);
            tokio::select! {
                // An error here is the client's: it went away, was too slow, or spoke no HTTP.
                _ = connection.as_mut() => return,
                () = cut.cancelled() => return,
                () = place.closed() => {}
            }
            if place.is_fresh() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = cut.cancelled() => {}
                () = tokio::time::sleep(LAST_BYTES), if !place.is_busy() => {}
            }
        });
    }
}

/// Whether a connection failed before it was taken, which says nothing about the next.
fn is_the_clients(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | NotConnected)
}

/// A listener within the runtime.
struct Door {
    socket: AsyncSocket,
    /// Removed when the door is closed.
    _file: Option<super::unix::SocketFile>,
}

enum AsyncSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn open(listener: Listener) -> io::Result<Self> {
        let socket = match listener.socket {
            Socket::Tcp(socket) => AsyncSocket::Tcp(TcpListener::from_std(socket)?),
            Socket::Unix(socket) => AsyncSocket::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { socket, _file: listener.file })
    }
}

/// A response's body that knows when its last byte was taken.
struct Answer {
    body: Body,
    _in_hand: InHand,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
