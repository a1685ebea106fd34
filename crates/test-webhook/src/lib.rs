//! An HTTP server of a test's own, which takes what it is sent and answers as badly as it is told to.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a connection is kept at the longest: nothing here outlives a test for long.
const PATIENCE: Duration = Duration::from_mins(2);

/// How it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status and a short body.
    Status(u16),
    /// It redirects to this URL.
    Redirect(String),
    /// Not at all, with the connection left open.
    Never,
    /// With a head that never ends, a byte now and then.
    EndlessHead,
    /// With 200, and a body that never ends.
    EndlessBody,
    /// With what is not HTTP.
    Garbage,
    /// By closing the connection.
    Close,
}

/// What it was sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, `GET`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// By name, in small letters.
    pub headers: BTreeMap<String, String>,
    /// As far as `content-length` says.
    pub body: Vec<u8>,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct Webhook {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    requests: Mutex<Vec<Request>>,
    is_over: Mutex<bool>,
}

impl Webhook {
    /// Listens on a port of its own.
    pub fn start(answer: Answer) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (answer, requests, is_over) = (Mutex::new(answer), Mutex::default(), Mutex::new(false));
        let shared = Arc::new(Shared { answer, requests, is_over });
        let accepted = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if *locked(&accepted.is_over) {
                    return;
                }
                let shared = Arc::clone(&accepted);
                // A caller that goes away is what some tests are about.
                std::thread::spawn(move || drop(stream.and_then(|stream| shared.serve(stream))));
            }
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answer: Answer) {
        *locked(&self.shared.answer) = answer;
    }

    /// What it was sent so far.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }

    /// Takes what it was sent so far.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *locked(&self.shared.requests))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        *locked(&self.shared.is_over) = true;
        // Wakes the thread that accepts.
        let is_woken = TcpStream::connect(self.address).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| is_woken) {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let request = read(&mut reader)?;
        let answer = locked(&self.answer).clone();
        locked(&self.requests).push(request);
        respond(stream, &mut reader, &answer)
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    let mut next = |reader: &mut BufReader<TcpStream>| {
        line.clear();
        match reader.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok::<_, io::Error>(line.trim_end().to_owned()),
        }
    };
    let first = next(reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let header = next(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Request { method, path, headers, body })
}

fn respond(mut stream: TcpStream, reader: &mut BufReader<TcpStream>, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Status(status) => {
            write!(stream, "HTTP/1.1 {status} It\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        }
        Answer::Redirect(to) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        // Until the caller goes away.
        Answer::Never => io::copy(reader, &mut io::sink()).map(drop),
        Answer::EndlessHead => {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
            drip(&mut stream, b"X-A: b\r\n")
        }
        Answer::EndlessBody => {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
            drip(&mut stream, b"and so on ")
        }
        Answer::Garbage => stream.write_all(b"\x16\x03\x01 what is this\n\n\0\0\0"),
        Answer::Close => Ok(()),
    }
}

/// Until the caller goes away, or nobody can be waiting any more.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        stream.write_all(bytes)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
