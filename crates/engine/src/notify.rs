//! Who is told of what a run came to: messages, a ping, and the program that runs after files were removed.
//!
//! All of it happens after a run: its report is made, its locks are released, its history is written. Nothing here can
//! delay a run or change what came of it; a failure is a problem to be said, and what was not told stays untold.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cleanup_core::config::{Config, Notify};
use cleanup_core::report::Report;
use cleanup_notify::{Known, Look, Memory, Message, Target, http, program};
use cleanup_state::Notified;

use crate::clock;
use crate::engine::Engine;
use crate::responses::{CheckedNotify, Finding, Severity, TestedTarget};
use crate::state::location;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// How long one message to a program may take.
const COMMAND: Duration = Duration::from_secs(10);

/// How long all messages and the ping of a run that ends may take together.
const ONE_SHOT: Duration = Duration::from_secs(10);

/// How long the program that runs after removals may take.
pub const AFTER: Duration = Duration::from_mins(5);

/// What came of one round of messages.
#[derive(Debug, Default)]
pub struct Told {
    /// What could not be told, and why: one sentence each.
    pub problems: Vec<String>,
    /// What another process kept from being taken in. Empty otherwise.
    pub left: Look,
}

impl Engine {
    /// Whether anybody is told of findings or pinged.
    pub fn tells(&self) -> bool {
        self.config().notify.as_ref().is_some_and(Notify::tells)
    }

    /// Whether removed files wait for the program that is to know of them.
    pub fn has_removed(&self) -> bool {
        self.setup.removed.as_ref().is_some_and(cleanup_notify::Spool::has_any)
    }

    /// Does what follows a run of a command that ends: messages and the ping within 10 seconds, then the program for
    /// removed files within 5 minutes. Returns what went wrong, a sentence each.
    pub fn conclude(&self, report: &Report) -> Vec<String> {
        if report.dry_run {
            return Vec::new();
        }
        let mut look = Look::default();
        look.ran(report);
        if report.trigger.is_sweep() {
            look.ping_after(report);
        }
        let mut problems = self.tell(&mut Memory::default(), look, ONE_SHOT).problems;
        problems.extend(self.run_after(AFTER));
        problems
    }

    /// Tells what is new in a look and what could not be told before, within so much time altogether. `known` is what is
    /// known where nothing is remembered in a folder: whoever keeps it tells everything once for as long as it lives.
    pub fn tell(&self, known: &mut Memory, look: Look, within: Duration) -> Told {
        let Some(notify) = self.config().notify.as_ref().filter(|notify| notify.tells()) else {
            return Told::default();
        };
        let begun = clock::boot();
        let left = || within.saturating_sub(clock::boot().saturating_sub(begun));
        let place = location::placed(self.origin(), &self.config().state);
        let opened = place.folder().map(|folder| Notified::open(folder, left()));
        let file = match opened {
            None => None,
            Some(Ok(file)) => {
                *known = Memory::from_json(&file.read());
                Some(file)
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                let busy = "another process is sending messages; those of this run are left to the next".to_owned();
                return Told { problems: vec![busy], left: look };
            }
            // The run says itself that nothing is remembered.
            Some(Err(error)) => {
                tracing::debug!("what was told cannot be remembered: {error}");
                None
            }
        };
        let mut kept = known.to_json();
        let mut keep = |known: &Memory| {
            let text = known.to_json();
            if text != kept
                && let Some(Err(error)) = file.as_ref().map(|file| file.write(&text))
            {
                tracing::warn!("what was told cannot be remembered, so it may be told again: {error}");
            }
            kept = text;
        };
        let wants_ping = look.ping;
        let mut problems = Vec::new();
        let policies = |name: &str| known_policy(self.config(), name);
        known.take_in(look, notify, &policies, clock::now());
        keep(known);
        for target in Target::of(notify) {
            let (pending, waiting) = known.pending(target, notify, &policies, clock::now());
            for (index, one) in pending.iter().enumerate() {
                let Some(message) = known.message(one, &host()) else { continue };
                let is_last = index + 1 == pending.len();
                let message = message.with_waiting(if is_last { waiting as u64 } else { 0 });
                match deliver(notify, target, &message, left()) {
                    Ok(()) => {
                        known.told(one, clock::now());
                        keep(known);
                    }
                    // What one message met, the others would meet as well.
                    Err(why) => {
                        let untold = pending.len() - index + waiting;
                        let of = if untold == 1 { "a message was" } else { "messages were" };
                        problems.push(format!("{of} not delivered, and will be tried again: {why}"));
                        break;
                    }
                }
            }
        }
        if wants_ping
            && !known.has_error(&policies)
            && let Some(ping) = &notify.ping
            && let Err(why) = http::get(ping, notify.ca_file.as_deref(), REQUEST.min(left()))
        {
            problems.push(format!("the ping of a successful run was not delivered: {why}"));
        }
        Told { problems, left: Look::default() }
    }

    /// Hands the paths of what was removed since the last call to the program that is to know of them. Returns what went
    /// wrong.
    pub fn run_after(&self, within: Duration) -> Option<String> {
        let after = self.config().notify.as_ref()?.after.as_ref()?;
        let spooled = self.setup.removed.as_ref()?.take()?;
        let lost = |error: &io::Error| format!("`after` was not told of all removed files: {error}");
        let spooled = match spooled {
            Ok(spooled) => spooled,
            Err(error) => return Some(lost(&error)),
        };
        let variables = [("CLEANUP_HOST", host()), ("CLEANUP_REMOVED", spooled.paths.to_string())];
        let ran = program::run(after, spooled.file, &variables, within);
        let failed = ran.err().map(|why| format!("`after` failed, and is not told of these files again: {why}"));
        failed.or_else(|| spooled.failure.as_ref().map(lost))
    }

    /// Sends a test message to each target, and a ping; says what came of each.
    pub fn test_messages(&self) -> Vec<TestedTarget> {
        let Some(notify) = &self.config().notify else { return Vec::new() };
        let shown = shown(notify);
        let of = |target: &str, to: Option<String>, result: Result<(), String>| TestedTarget {
            target: target.to_owned(),
            to: to.unwrap_or_default(),
            error: result.err(),
        };
        let message = Message::test(&host());
        let mut tested: Vec<TestedTarget> = Vec::new();
        for target in Target::of(notify) {
            let result = deliver(notify, target, &message, COMMAND);
            tested.push(match target {
                Target::Webhook => of("webhook", shown.webhook.clone(), result),
                Target::Command => of("command", shown.command.clone(), result),
            });
        }
        if let Some(ping) = &notify.ping {
            tested.push(of("ping", shown.ping, http::get(ping, notify.ca_file.as_deref(), REQUEST)));
        }
        tested
    }

    /// What is configured, for `config check`; nothing secret is in it.
    pub(crate) fn checked_notify(&self) -> Option<CheckedNotify> {
        self.config().notify.as_ref().map(shown)
    }

    /// What would keep messages from their targets. Calls nobody.
    pub(crate) fn check_notify(&self) -> Vec<Finding> {
        let Some(notify) = &self.config().notify else { return Vec::new() };
        let finding = |severity, message| Finding { policy: "[notify]".to_owned(), severity, message, remedy: None };
        let mut found = Vec::new();
        // One that only the service may read is for the service to judge.
        let is_readable = |path: &&std::path::Path| !path.metadata().is_ok_and(|_| std::fs::File::open(path).is_err());
        found.extend(
            notify
                .secret_files()
                .filter(is_readable)
                .filter_map(|path| http::read_url(path).err())
                .map(|why| finding(Severity::Error, why)),
        );
        if let Some(Err(why)) = notify.ca_file.as_deref().map(http::read_certificates) {
            found.push(finding(Severity::Error, why));
        }
        let folders: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        for (key, command) in [("command", &notify.command), ("after", &notify.after)] {
            if let Some([name, ..]) = command.as_deref()
                && program::find(name, &folders).is_none()
            {
                found.push(finding(
                    Severity::Error,
                    format!("the program of `{key}`, {name}, is not there or may not be run"),
                ));
            }
        }
        if !Target::of(notify).is_empty() && location::placed(self.origin(), &self.config().state).folder().is_none() {
            let why = "nothing is remembered between runs, so each run tells what it finds, and nobody is told that it is over";
            found.push(finding(Severity::Warning, why.to_owned()));
        }
        found
    }
}

/// Where messages go, without what may be secret.
fn shown(notify: &Notify) -> CheckedNotify {
    let Notify { webhook, headers: _, ca_file: _, command, on, recovered, ping, after } = notify;
    let name = |command: &Option<Vec<String>>| command.as_ref().and_then(|words| words.first().cloned());
    CheckedNotify {
        webhook: webhook.as_ref().map(ToString::to_string),
        command: name(command),
        on: on.as_ref().map(|codes| codes.iter().map(|code| code.name().to_owned()).collect()),
        recovered: *recovered,
        ping: ping.as_ref().map(ToString::to_string),
        after: name(after),
    }
}

fn deliver(notify: &Notify, target: Target, message: &Message, left: Duration) -> Result<(), String> {
    if left.is_zero() {
        return Err("there is no time left".to_owned());
    }
    let (body, nobody) = (message.to_json(), || Err("it is not configured".to_owned()));
    match target {
        Target::Webhook => notify.webhook.as_ref().map_or_else(nobody, |webhook| {
            http::post(webhook, &notify.headers, notify.ca_file.as_deref(), &body, REQUEST.min(left))
        }),
        // A line, so that messages can be gathered in one file.
        Target::Command => notify.command.as_ref().map_or_else(nobody, |command| {
            let line = [body.as_slice(), b"\n"].concat();
            program::tell(command, &line, &message.variables(), COMMAND.min(left))
        }),
    }
}

fn known_policy(config: &Config, name: &str) -> Known {
    let files = config.files.iter().map(|it| (it.rule.name.as_str(), it.enabled));
    let mut all = files.chain(config.sessions.iter().map(|it| (it.rule.name.as_str(), it.enabled)));
    match all.find(|(other, _)| *other == name) {
        Some((_, true)) => Known::On,
        Some((_, false)) => Known::Off,
        None => Known::Not,
    }
}

/// The name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "an unknown host".to_owned(),
        name => name.to_owned(),
    }
}
