//! `--self-test`: the whole service on a temporary folder, from a first file to its removal.
//!
//! What an operator wants to know after an installation: does it start here, does it learn of files, does it keep a
//! deadline, does it answer in the form that its clients read. Everything is real but the folder.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::{Failure, Opened, runtime};
use crate::net::socket::Address;

/// How long the file of the test may live.
const TTL: Duration = Duration::from_secs(2);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIGURATION: &str = r#"
[files.temp-models]
root = "temp_models"
include = ["*.step"]
max_age = "30m"
track = true

[server]
listen = "127.0.0.1:0"
"#;

/// Runs it, and says each step on stdout.
pub fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| failed("making a temporary folder", &error))?;
    let config = folder.path().join("cleanup.toml");
    let models = folder.path().join("temp_models");
    std::fs::create_dir(&models).map_err(|error| failed("making the models' folder", &error))?;
    std::fs::write(&config, CONFIGURATION).map_err(|error| failed("writing a configuration", &error))?;

    let opened = Opened::open(Some(&config))?;
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let (sender, ready) = mpsc::channel();
    let tell = move |addresses: &[Address], _: &_| {
        if let Some(Address::Tcp(address)) = addresses.first() {
            // The test may have given up.
            let _ = sender.send(*address);
        }
    };
    let serving = runtime.spawn(opened.serve(stop.clone(), std::sync::Arc::default(), tell));
    let result = match ready.recv_timeout(PATIENCE) {
        Ok(address) => steps(address, &models),
        Err(_) => Err("the service does not respond".to_owned()),
    };
    stop.cancel();
    let served = runtime.block_on(serving).map_err(|error| failed("ending", &error))?;
    result.map_err(|why| Failure::Other(format!("self-test failed: {why}")))?;
    served?;
    say("self-test passed");
    Ok(())
}

fn steps(address: SocketAddr, models: &Path) -> Result<(), String> {
    let mut events = open(address)?;
    request(&mut events, address, "GET", "/api/v1/events", "")?;
    let part = models.join("part.step");
    std::fs::write(&part, "ISO-10303-21;").map_err(|error| error.to_string())?;
    let body = format!(r#"{{"policy":"temp-models","path":"part.step","ttl":"{}s"}}"#, TTL.as_secs());
    let begun = Instant::now();
    let (status, answer) = call(address, "POST", "/api/v1/files", &body)?;
    expect(status == 201 || status == 200, &format!("registering a file answers {status}: {answer}"))?;
    say(&format!("registered a file with a ttl of {} s", TTL.as_secs()));

    let tracked = |of: &Value| of["cleanup_stats"]["tracked_files"].clone();
    let (_, before) = call(address, "GET", "/cleanup/stats", "")?;
    expect(tracked(&before) == 1, &format!("GET /cleanup/stats counts it: {before}"))?;
    say(&format!("GET  /cleanup/stats    {}", before["cleanup_stats"]));
    let (_, manual) = call(address, "POST", "/cleanup/manual", "")?;
    expect(manual["message"] == "Manual cleanup completed", &format!("POST /cleanup/manual answers {manual}"))?;
    expect(part.exists(), "a sweep before its time leaves it alone")?;
    say(&format!("POST /cleanup/manual   {}", manual["message"]));

    wait_for(&mut events, "event: removed")?;
    expect(begun.elapsed() >= TTL, "it goes no earlier than promised")?;
    expect(!part.exists(), "it is gone")?;
    let (_, after) = call(address, "GET", "/cleanup/stats", "")?;
    expect(tracked(&after) == 0, &format!("GET /cleanup/stats counts none: {after}"))?;
    say(&format!("gone after {:.2} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

fn expect(is_so: bool, what: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("not so: {what}")) }
}

fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn request(stream: &mut TcpStream, address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(), String> {
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// One call, and what it answers.
fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, Value), String> {
    let mut stream = open(address)?;
    request(&mut stream, address, method, path, body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, content) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let value = serde_json::from_str(content).map_err(|error| format!("{method} {path} answers no JSON: {error}"))?;
    Ok((status.unwrap_or(0), value))
}

/// Reads a stream of events until this is in it.
fn wait_for(events: &mut TcpStream, text: &str) -> Result<(), String> {
    let (mut seen, mut piece) = (Vec::new(), [0_u8; 1024]);
    loop {
        match events.read(&mut piece) {
            Ok(0) => return Err(format!("the events end without {text:?}")),
            Ok(length) => seen.extend_from_slice(&piece[..length]),
            Err(error) => return Err(format!("no {text:?} among the events: {error}")),
        }
        if String::from_utf8_lossy(&seen).contains(text) {
            return Ok(());
        }
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("self-test failed: {what}: {error}"))
}

/// Nobody has to read it: the exit code says the same.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
