//! The program: found, started, spoken to, ended.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Error, PROGRAM_VARIABLE, Page};

/// Names under which systems install it.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// How long any answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait for news at most.
const MOMENT: Duration = Duration::from_millis(20);

/// A running browser.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    wire: Mutex<Wire>,
    /// Removed after the browser has ended.
    _profile: TempDir,
}

#[derive(Debug)]
struct Wire {
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    /// What happened and nobody asked for yet.
    events: VecDeque<Value>,
}

impl Browser {
    /// Where the browser is.
    pub fn program() -> Result<PathBuf, Error> {
        if let Some(named) = std::env::var_os(PROGRAM_VARIABLE).filter(|name| !name.is_empty()) {
            return Ok(named.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut candidates = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        candidates.find(|file| file.is_file()).ok_or(Error::NotInstalled)
    }

    /// Starts one with an empty profile.
    pub fn start() -> Result<Self, Error> {
        let profile = tempfile::Builder::new().prefix("cleanup-browser-").tempdir()?;
        // The pipe is expected on descriptors 3 and 4; a shell puts it there.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null", "sh"]).arg(Self::program()?);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--lang=en-US",
        ]);
        if rustix::process::geteuid().is_root() {
            // Its own sandbox needs an account that is not root.
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Silent("it has no pipe".to_owned()));
        };
        let (sender, receiver) = mpsc::channel();
        // Ends with the pipe.
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut message = Vec::new();
            while from.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                if let Ok(value) = serde_json::from_slice(&message)
                    && sender.send(value).is_err()
                {
                    return;
                }
                message.clear();
            }
        });
        let wire = Wire { to, from: receiver, last_id: 0, events: VecDeque::new() };
        Ok(Self { child, wire: Mutex::new(wire), _profile: profile })
    }

    /// A new, empty page that shares nothing with the other ones.
    pub fn page(&self) -> Result<Page<'_>, Error> {
        let context = self.call(None, "Target.createBrowserContext", &json!({}))?;
        let target = self.call(
            None,
            "Target.createTarget",
            &json!({ "url": "about:blank", "browserContextId": context["browserContextId"] }),
        )?;
        let attached =
            self.call(None, "Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        Page::new(self, text(&attached["sessionId"]))
    }

    /// Asks for something, and waits for the answer.
    pub(crate) fn call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value, Error> {
        self.call_within(PATIENCE, session, method, parameters)
    }

    /// As [`Browser::call`], for what may get no answer at all: a page that is left takes its answers along.
    pub(crate) fn call_within(
        &self,
        patience: Duration,
        session: Option<&str>,
        method: &str,
        parameters: &Value,
    ) -> Result<Value, Error> {
        let mut wire = self.wire.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wire.last_id += 1;
        let id = wire.last_id;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        wire.to.write_all(&bytes)?;
        let begun = Instant::now();
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            let answer = wire.from.recv_timeout(left).map_err(|_| Error::Silent(method.to_owned()))?;
            if answer["id"] != id {
                wire.events.push_back(answer);
                continue;
            }
            if let Some(error) = answer.get("error") {
                return Err(Error::Refused { method: method.to_owned(), why: text(&error["message"]) });
            }
            return Ok(answer["result"].clone());
        }
    }

    /// Waits until the browser says anything, for a moment at most: not all that changes in a page is told.
    pub(crate) fn wait_for_news(&self) {
        let mut wire = self.wire.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(event) = wire.from.recv_timeout(MOMENT) {
            wire.events.push_back(event);
        }
    }

    /// Everything that happened in a page since this was last asked.
    pub(crate) fn events(&self, session: &str) -> Vec<Value> {
        let mut wire = self.wire.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Ok(event) = wire.from.try_recv() {
            wire.events.push_back(event);
        }
        let all = std::mem::take(&mut wire.events);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|event| event["sessionId"] == session);
        wire.events = others.into();
        own
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a JSON string, or the JSON of anything else.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
