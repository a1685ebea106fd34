//! A small HTTP/1.1 client: one connection that stays open, one call at a time, nothing that costs more than the call.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(16 << 10, stream), address })
    }

    /// The body of a page.
    pub(super) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.call("GET", path, "")
    }

    /// The answer to a call with a JSON body.
    pub(super) fn post(&mut self, path: &str, body: &str) -> Result<Vec<u8>> {
        self.call("POST", path, body)
    }

    /// The body of a page that never ends, line by line.
    pub(super) fn lines(mut self, path: &str) -> Result<impl Iterator<Item = std::io::Result<String>>> {
        self.send("GET", path, "")?;
        self.head()?;
        Ok(self.stream.lines())
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        self.send(method, path, body)?;
        let (status, length) = self.head()?;
        let mut answer = vec![0; length.context("the answer does not say its length")?];
        self.stream.read_exact(&mut answer)?;
        ensure!((200..300).contains(&status), "{method} {path} answers {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{kind}{length}\r\n{body}", self.address);
        self.stream.get_mut().write_all(text.as_bytes())?;
        Ok(())
    }

    /// The status, and the length of what follows.
    fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(status) = line.split(' ').nth(1).and_then(|word| word.parse().ok()) else {
            bail!("no answer of HTTP: {line:?}");
        };
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                None => return Ok((status, length)),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok();
                }
                Some(_) => {}
            }
        }
    }
}

/// What came of asking again and again.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) latencies: Vec<Duration>,
    /// Over all connections that asked at the same time.
    pub(super) time: Duration,
}

impl Answers {
    pub(super) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }
}

/// How long they are asked before it is the other's turn.
const TURN: Duration = Duration::from_millis(250);

/// Asks some addresses for a page in turns, on so many connections at once, each of which asks as soon as it has its
/// answer.
pub(super) fn ask(addresses: &[SocketAddr], path: &str, connections: usize, time: Duration) -> Result<Vec<Answers>> {
    let start = Instant::now();
    let one = || -> Result<Vec<Vec<Duration>>> {
        let mut clients = addresses.iter().map(|address| Client::connect(*address)).collect::<Result<Vec<_>>>()?;
        let mut latencies = vec![Vec::new(); clients.len()];
        loop {
            let now = start.elapsed();
            if now >= time {
                return Ok(latencies);
            }
            let turn = usize::try_from(now.as_millis() / TURN.as_millis())? % clients.len();
            let asked = Instant::now();
            clients[turn].get(path)?;
            latencies[turn].push(asked.elapsed());
        }
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it has no reason to panic")).collect::<Result<Vec<_>>>()
    })?;
    let share = time / u32::try_from(addresses.len())?;
    let mut answers: Vec<Answers> = addresses.iter().map(|_| Answers { time: share, ..Answers::default() }).collect();
    for latencies in all {
        for (answers, latencies) in answers.iter_mut().zip(latencies) {
            answers.latencies.extend(latencies);
        }
    }
    for answers in &mut answers {
        answers.latencies.sort_unstable();
    }
    Ok(answers)
}

/// The value below which so many of a hundred lie, of values in order.
pub(super) fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u32> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)), (101, 199, 200));
        assert_eq!(percentile::<u32>(&[], 99), 0);
    }
}
