//! Turns the raw types into what the program needs, and collects every error on the way.
//!
//! A check that fails adds its error and returns `None`; the others go on. The results count only when no error was
//! added, so nothing half checked ever leaves this module.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::diagnostic::{Diagnostic, did_you_mean, one_of};
use super::raw::{RawAudit, RawConfig, RawFilePolicy, RawMode, RawServer, RawSessionPolicy, RawState, RawTokenFor};
use super::structure::Structure;
use super::values::{At, Named};
use super::vars::Variables;
use super::{Audit, Config, KEEP_HISTORY, LISTEN, MAX_HOLD, NamedToken, Removals, Server, State, TokenFor};
use crate::candidate::Escaped;
use crate::policy::Effect;

mod files;
mod notify;
mod owners;
mod schedule;
mod sessions;

/// The longest name of a policy: it becomes part of file names, unit names and metric labels.
const LONGEST_NAME: usize = 64;

/// `max_size` of the audit log, when it is not given, and the least that it may be.
const AUDIT_BYTES: u64 = 10_000_000;
const SMALLEST_AUDIT: u64 = 4096;

/// `keep` of the audit log, when it is not given.
const AUDIT_FILES: u32 = 5;

/// `removals_for`, when it is not given.
const REMOVALS_FOR: Duration = Duration::from_hours(30 * 24);

/// `removals_max_size`, when it is not given, and the least that it may be.
const REMOVALS_BYTES: u64 = 1024 * 1024 * 1024;
const SMALLEST_REMOVALS: u64 = 1024 * 1024;

/// What all checks need.
pub(super) struct Check<'a> {
    folder: &'a Path,
    variables: &'a Variables,
    structure: &'a Structure,
    problems: &'a mut Vec<Diagnostic>,
}

/// Checks everything; the result counts only when no error was added.
pub(super) fn check(
    structure: &Structure,
    folder: &Path,
    variables: &Variables,
    problems: &mut Vec<Diagnostic>,
) -> Option<Config> {
    Check { folder, variables, structure, problems }.config(&structure.raw)
}

impl Check<'_> {
    fn config(&mut self, raw: &RawConfig) -> Option<Config> {
        self.names(&raw.files, &raw.sessions);
        let files: Vec<_> = raw.files.0.iter().map(|(name, raw)| self.file_policy(name, raw)).collect();
        let sessions: Vec<_> = raw.sessions.0.iter().map(|(name, raw)| self.session_policy(name, raw)).collect();
        self.shadows(&raw.files, &files);
        for (_, policy) in &raw.files.0 {
            self.references(policy, &raw.sessions);
        }
        let server = self.server(raw.server.as_ref(), &raw.files);
        let state = self.state(raw.state.as_ref());
        let keep_history = self.keep_history(raw.state.as_ref());
        let removals = self.removals(raw.state.as_ref());
        let audit = self.audit(raw.audit.as_ref());
        let notify = self.notify(raw.notify.as_ref());
        let time_zone = self.time_zone(raw.time_zone.as_ref());
        Some(Config {
            files: files.into_iter().collect::<Option<_>>()?,
            sessions: sessions.into_iter().collect::<Option<_>>()?,
            server: server?,
            state: state?,
            keep_history,
            removals,
            audit: audit?,
            notify: notify?,
            time_zone,
            settings: Vec::new(),
        })
    }

    fn refuse(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// Names are unique over both kinds: `cleanup sweep NAME` must mean one thing.
    fn names(&mut self, files: &Named<RawFilePolicy>, sessions: &Named<RawSessionPolicy>) {
        let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
        let names = files.0.iter().map(|(name, _)| name).chain(sessions.0.iter().map(|(name, _)| name));
        for name in names {
            self.name(name);
            if let Some(first) = seen.insert(&name.value, &name.span) {
                self.refuse(
                    Diagnostic::new(
                        &name.span,
                        format!("two policies are called `{}`", Escaped(name.value.as_bytes())),
                    )
                    .label("a name means one policy, of whichever kind")
                    .context(first, "the other one"),
                );
            }
        }
    }

    fn name(&mut self, name: &At<String>) {
        let text = name.value.as_str();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let shown = Escaped(text.as_bytes());
        if text.is_empty() {
            self.refuse(Diagnostic::new(&name.span, "a policy needs a name").label("expected a name"));
        } else if text.len() > LONGEST_NAME {
            let title = format!("a policy's name has at most {LONGEST_NAME} characters");
            self.refuse(Diagnostic::new(&name.span, title).label(format!("this one has {}", text.chars().count())));
        } else if text.starts_with('-') {
            self.refuse(
                Diagnostic::new(&name.span, format!("`{shown}` is not a valid policy name"))
                    .label("a leading `-` would make it look like an option"),
            );
        } else if !text.chars().all(allowed) {
            let slug: String = text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect();
            self.refuse(
                Diagnostic::new(&name.span, format!("`{shown}` is not a valid policy name"))
                    .label("expected only `a-z`, `0-9`, `_` and `-`")
                    .note("a name becomes part of file names, unit names and metric labels")
                    .help(format!("call it `{}`", slug.trim_start_matches('-'))),
            );
        }
    }

    fn server(&mut self, raw: Option<&RawServer>, files: &Named<RawFilePolicy>) -> Option<Server> {
        let Some(raw) = raw else { return Some(Server::default()) };
        let listen = raw.listen.as_ref().map_or(Some(LISTEN), |listen| self.listen(listen));
        let socket = self.optional_path("socket", raw.socket.as_ref());
        let token_file = self.optional_path("token_file", raw.token_file.as_ref());
        let hosts = raw.hosts.iter().flatten().filter_map(|host| self.host(host)).collect();
        if let Some(name) = &raw.stats_policy {
            self.stats_policy(name, files);
        }
        let stats_policy = raw.stats_policy.as_ref().map(|name| name.value.clone());
        let tokens: Vec<_> = raw.tokens.0.iter().map(|(name, file)| self.token(name, file)).collect();
        let metrics_token_file = self.optional_path("metrics_token_file", raw.metrics_token_file.as_ref());
        let token_for = match raw.token_for {
            Some(RawTokenFor::Everything) => TokenFor::Everything,
            Some(RawTokenFor::Changes) | None => TokenFor::Changes,
        };
        let max_hold = raw.max_hold.as_ref().map_or(Some(MAX_HOLD), |max| {
            self.positive("max_hold", max, "the longest time for which a request may hold a file, such as `90d`")
        });
        Some(Server {
            listen: listen?,
            socket: socket?,
            hosts,
            token_file: token_file?,
            tokens: tokens.into_iter().collect::<Option<_>>()?,
            metrics_token_file: metrics_token_file?,
            token_for,
            max_hold: max_hold?,
            stats_policy,
        })
    }

    fn token(&mut self, name: &At<String>, file: &At<String>) -> Option<NamedToken> {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let text = name.value.as_str();
        let is_name =
            (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_allowed) && !text.starts_with('-');
        if !is_name {
            let shown = Escaped(text.as_bytes());
            self.refuse(
                Diagnostic::new(&name.span, format!("`{shown}` is not a valid name of a token"))
                    .label(format!("expected 1 to {LONGEST_NAME} of `a-z`, `0-9`, `_` and `-`"))
                    .note("reports and the audit log say by this name who asked"),
            );
        }
        let file = self.path(text, file, &file.value);
        is_name.then_some(NamedToken { name: text.to_owned(), file: file? })
    }

    fn listen(&mut self, listen: &At<String>) -> Option<SocketAddr> {
        let text = listen.value.trim();
        let local = text.strip_prefix("localhost:").map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST));
        let address = local.as_deref().unwrap_or(text).parse();
        if address.is_err() {
            let diagnostic = Diagnostic::new(&listen.span, "`listen` is not a valid address")
                .label("expected an IP address and a port, such as `127.0.0.1:8000` or `[::1]:8000`");
            self.refuse(match text.trim_start_matches(':').parse::<u16>() {
                Ok(port) => diagnostic.help(format!("to be reached from this machine only: `127.0.0.1:{port}`")),
                Err(_) if text.starts_with('/') => diagnostic.help("a unix socket has its own key: `socket`"),
                Err(_) => diagnostic,
            });
        }
        address.ok()
    }

    fn host(&mut self, host: &At<String>) -> Option<String> {
        let text = host.value.as_str();
        let valid = !text.is_empty()
            && text.split('.').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            });
        if !valid {
            self.refuse(
                Diagnostic::new(&host.span, "invalid host name")
                    .label("expected a bare name such as `cleanup.example.org`, without scheme, port or path"),
            );
        }
        valid.then(|| text.to_ascii_lowercase())
    }

    /// `/cleanup/stats` reports on tracked files, so its policy must be tracked.
    fn stats_policy(&mut self, name: &At<String>, files: &Named<RawFilePolicy>) {
        if self.structure.lost_keys(&["files", &name.value]) {
            return;
        }
        match files.0.iter().find(|(other, _)| other.value == name.value) {
            Some((_, policy)) if policy.track == Some(true) => {}
            Some((policy, _)) => self.refuse(
                Diagnostic::new(&name.span, "`stats_policy` names a policy that is not tracked")
                    .label("its statistics tell of tracked files")
                    .context(&policy.span, "this policy")
                    .help("add `track = true` to the policy"),
            ),
            None => {
                let diagnostic = dangling(name, "file policy", files.0.iter().map(|(name, _)| name.value.as_str()));
                self.refuse(diagnostic);
            }
        }
    }

    fn references(&mut self, policy: &RawFilePolicy, sessions: &Named<RawSessionPolicy>) {
        let Some(references) = &policy.keep_referenced else { return };
        let name = &references.sessions;
        let known = sessions.0.iter().any(|(other, _)| other.value == name.value);
        if !known && !self.structure.lost_keys(&["sessions", &name.value]) {
            let diagnostic = dangling(name, "session policy", sessions.0.iter().map(|(name, _)| name.value.as_str()));
            self.refuse(diagnostic);
        }
    }

    fn state(&mut self, raw: Option<&RawState>) -> Option<State> {
        let Some(url) = raw.and_then(|raw| raw.url.as_ref()) else { return Some(State::Default) };
        let text = url.value.trim();
        if text == "none" {
            return Some(State::None);
        }
        let path = text.strip_prefix("sqlite:").map(|path| if path.starts_with("////") { &path[3..] } else { path });
        match path {
            Some(path) if !path.is_empty() && !path.starts_with("//") => self.path("url", url, path).map(State::Sqlite),
            _ => {
                self.refuse(
                    Diagnostic::new(&url.span, "`url` in `[state]` names no place for the state")
                        .label("expected `sqlite:PATH` or `none`")
                        .help("one slash for an absolute path: `sqlite:/var/lib/cleanup/state.db`"),
                );
                None
            }
        }
    }

    fn keep_history(&mut self, raw: Option<&RawState>) -> Duration {
        let Some(keep) = raw.and_then(|raw| raw.keep_history.as_ref()) else { return KEEP_HISTORY };
        if keep.value.0.is_zero() {
            self.refuse(
                Diagnostic::new(&keep.span, "`keep_history` is zero")
                    .label("expected a time such as `90d`")
                    .help("to remember nothing at all: `url = \"none\"`"),
            );
        }
        keep.value.0
    }

    /// `None` where no log is kept.
    fn removals(&mut self, raw: Option<&RawState>) -> Option<Removals> {
        let (keep_for, max_size) =
            raw.map_or((None, None), |raw| (raw.removals_for.as_ref(), raw.removals_max_size.as_ref()));
        if let Some(size) = max_size.filter(|size| size.value.0 < SMALLEST_REMOVALS) {
            self.refuse(
                Diagnostic::new(&size.span, "`removals_max_size` is too small")
                    .label("expected at least 1 MiB")
                    .help("to keep no log of removals: `removals_for = \"0s\"`"),
            );
        }
        let keep_for = keep_for.map_or(REMOVALS_FOR, |keep| keep.value.0);
        let max_bytes = max_size.map_or(REMOVALS_BYTES, |size| size.value.0);
        (!keep_for.is_zero()).then_some(Removals { keep_for, max_bytes })
    }

    /// `Some(None)` when there is no such table.
    #[expect(clippy::option_option, reason = "no table is fine, a wrong one is not")]
    fn audit(&mut self, raw: Option<&RawAudit>) -> Option<Option<Audit>> {
        let Some(raw) = raw else { return Some(None) };
        if raw.file.is_none() && !self.structure.lost_keys(&["audit"]) {
            self.refuse(
                Diagnostic::new(&(0..0), "`[audit]` needs a `file`")
                    .label("a log has to be written somewhere")
                    .help("add `file = \"/var/log/cleanup/audit.jsonl\"`"),
            );
        }
        if let Some(size) = raw.max_size.as_ref().filter(|size| size.value.0 < SMALLEST_AUDIT) {
            self.refuse(Diagnostic::new(&size.span, "`max_size` is too small").label("expected at least 4096 bytes"));
        }
        if let Some(keep) = raw.keep.as_ref().filter(|keep| !(1..=100).contains(&keep.value)) {
            self.refuse(Diagnostic::new(&keep.span, "`keep` is out of range").label("expected 1 to 100"));
        }
        let file = raw.file.as_ref()?;
        Some(Some(Audit {
            file: self.path("file", file, &file.value)?,
            max_bytes: raw.max_size.as_ref().map_or(AUDIT_BYTES, |size| size.value.0),
            keep: raw.keep.as_ref().map_or(AUDIT_FILES, |keep| keep.value),
        }))
    }

    /// Checks that the name looks like that of a time zone. Only the machine's own database knows whether it exists.
    fn time_zone(&mut self, zone: Option<&At<String>>) -> Option<String> {
        let zone = zone?;
        let part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
        };
        if !zone.value.split('/').all(part) {
            self.refuse(
                Diagnostic::new(&zone.span, "invalid time zone")
                    .label("expected a name of the IANA database, such as `Europe/Berlin` or `UTC`"),
            );
        }
        Some(zone.value.clone())
    }

    /// `Some(None)` when there is no such key.
    #[expect(clippy::option_option, reason = "the outer one says whether the check passed")]
    fn optional_path(&mut self, key: &str, path: Option<&At<String>>) -> Option<Option<PathBuf>> {
        path.map_or(Some(None), |path| self.path(key, path, &path.value).map(Some))
    }

    /// A path of the file: relative ones are relative to its folder.
    fn path(&mut self, key: &str, at: &At<String>, path: &str) -> Option<PathBuf> {
        let problem = if path.is_empty() {
            Diagnostic::new(&at.span, format!("`{key}` is empty")).label("expected a path")
        } else if path.contains('\0') {
            Diagnostic::new(&at.span, format!("`{key}` holds a NUL character")).label("no path can hold one")
        } else if path == "~" || path.starts_with("~/") {
            Diagnostic::new(&at.span, format!("`~` is not expanded in `{key}`"))
                .label("only a shell knows `~`")
                .help(format!("write `${{HOME}}{}`", &path[1..]))
        } else {
            return Some(self.folder.join(path).components().collect());
        };
        self.refuse(problem);
        None
    }

    /// Reports the keys that a policy lacks, unless one with an error may have been just that key. Each key comes as an
    /// example line.
    fn complete(&mut self, kind: &str, name: &At<String>, keys: &[(&str, bool)]) {
        let lines: Vec<&str> = keys.iter().filter(|(_, present)| !present).map(|(line, _)| *line).collect();
        if lines.is_empty() || self.structure.lost_keys(&[kind, &name.value]) {
            return;
        }
        let missing: Vec<String> =
            lines.iter().filter_map(|line| line.split_once(' ')).map(|(key, _)| format!("`{key}`")).collect();
        let title = format!("the policy `{}` is incomplete", Escaped(name.value.as_bytes()));
        let diagnostic = Diagnostic::new(&name.span, title)
            .label(format!("missing: {}", missing.join(", ")))
            .help(format!("add, for example\n{}", lines.join("\n")));
        self.refuse(if missing.iter().any(|key| key == "`max_age`") {
            diagnostic.note("with neither an age nor a limit, no file would ever be due")
        } else {
            diagnostic
        });
    }

    fn positive(&mut self, key: &str, period: &At<super::values::Period>, why: &str) -> Option<Duration> {
        if period.value.0.is_zero() {
            self.refuse(Diagnostic::new(&period.span, format!("`{key}` is zero")).label(why));
            return None;
        }
        Some(period.value.0)
    }
}

fn dangling<'a>(name: &At<String>, kind: &str, known: impl Iterator<Item = &'a str> + Clone) -> Diagnostic {
    let title = format!("there is no {kind} `{}`", Escaped(name.value.as_bytes()));
    let diagnostic = Diagnostic::new(&name.span, title);
    match did_you_mean(&name.value, known.clone()) {
        Some(meant) => diagnostic.label(format!("did you mean `{meant}`?")),
        None if known.clone().next().is_none() => diagnostic.label(format!("this file has no {kind} at all")),
        None => diagnostic.label(format!("expected {}", one_of(known))),
    }
}

/// The key `mode`, which both kinds of policy have.
fn effect(raw: Option<RawMode>) -> Effect {
    match raw {
        Some(RawMode::Observe) => Effect::Observe,
        Some(RawMode::Enforce) | None => Effect::Enforce,
    }
}

/// Whether a path leads to `/`, as far as its text tells. Links are followed when it is opened.
fn is_file_system_root(path: &Path) -> bool {
    let depth = path.components().fold(0_usize, |depth, component| match component {
        Component::Normal(_) => depth + 1,
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    depth == 0
}
