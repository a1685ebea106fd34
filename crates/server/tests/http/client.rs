//! A client that says exactly what it is told to, byte for byte.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any limit of the service.
const PATIENCE: Duration = Duration::from_secs(25);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    /// Sends bytes; a service that has closed already is no failure here.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Everything until the service closes the connection.
    pub(crate) async fn answer(mut self) -> Answer {
        let read = self.stream.read_to_end(&mut self.received);
        // A reset after the answer is the same as its end.
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("the service closes the connection");
        Answer::parse(&self.received)
    }

    /// Waits until this text was received, and gives everything so far.
    pub(crate) async fn wait_for(&mut self, text: &str) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let received = String::from_utf8_lossy(&self.received).into_owned();
            if received.contains(text) {
                return received;
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout_at(deadline, self.stream.read(&mut buffer)).await;
            let length = read.unwrap_or_else(|_| panic!("no {text:?} in {received:?}")).unwrap();
            assert!(length > 0, "it ended without {text:?}: {received:?}");
            self.received.extend(&buffer[..length]);
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self { status, headers: lines.map(header).collect(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Demands this status, and gives the JSON.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.is_dressed();
        if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body).expect(&self.body) }
    }

    /// Demands a problem with this status that says nothing of what is inside, and gives it.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.is(status);
        assert_eq!(problem["status"], status, "{self}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member}: {self}");
        }
        for leak in ["/etc", "/tmp", "/root", ".rs:", "panicked", "sqlite", "://"] {
            assert!(!self.body.contains(leak), "{leak}: {self}");
        }
        problem
    }

    /// Headers that every answer has.
    #[track_caller]
    fn is_dressed(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self}");
        assert!(
            self.header("content-security-policy").is_some_and(|csp| csp.starts_with("default-src 'none'")),
            "{self}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self}");
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"), "{self}");
        assert!(self.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{self}");
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}\n{}", self.status, self.headers, self.body)
    }
}
