//! Checks of `[notify]`.

use super::super::diagnostic::Diagnostic;
use super::super::notify::{Endpoint, Hidden, Notify, url_error};
use super::super::raw::RawNotify;
use super::super::values::At;
use super::Check;
use crate::candidate::Escaped;
use crate::report::FindingCode;

/// Headers that the request has anyway, or that say where it ends.
const OWN_HEADERS: &[&str] = &["host", "content-length", "transfer-encoding", "connection"];

impl Check<'_> {
    /// `Some(None)` when there is no such table.
    #[expect(clippy::option_option, reason = "no table is fine, a wrong one is not")]
    pub(super) fn notify(&mut self, raw: Option<&RawNotify>) -> Option<Option<Notify>> {
        let Some(raw) = raw else { return Some(None) };
        let RawNotify { webhook, webhook_file, headers, ca_file, command, on, recovered, ping, ping_file, after } = raw;
        let before = self.problems.len();
        let headers: Vec<_> = headers.0.iter().filter_map(|(name, value)| self.header(name, value)).collect();
        let codes = on.as_ref().map(|codes| codes.value.iter().filter_map(|code| self.code(code)).collect());
        let notify = Notify {
            webhook: self.endpoint("webhook", webhook.as_ref(), webhook_file.as_ref()),
            headers,
            ca_file: self.optional_path("ca_file", ca_file.as_ref())?,
            command: command.as_ref().and_then(|command| self.program("command", command)),
            on: codes,
            recovered: recovered.unwrap_or(true),
            ping: self.endpoint("ping", ping.as_ref(), ping_file.as_ref()),
            after: after.as_ref().and_then(|after| self.program("after", after)),
        };
        (self.problems.len() == before).then_some(Some(notify))
    }

    /// An empty URL is none, so that a variable may leave it open: `"${WEBHOOK_URL:-}"`.
    fn endpoint(&mut self, key: &str, url: Option<&At<String>>, file: Option<&At<String>>) -> Option<Endpoint> {
        let url = url.filter(|url| !url.value.trim().is_empty());
        match (url, file) {
            (None, None) => None,
            (None, Some(file)) => self.path(&format!("{key}_file"), file, &file.value).map(Endpoint::File),
            (Some(url), None) => {
                let text = url.value.trim();
                if let Some(why) = url_error(text) {
                    self.refuse(Diagnostic::new(&url.span, format!("`{key}` is not a URL to call")).label(why));
                }
                Some(Endpoint::Url(Hidden::new(text)))
            }
            (Some(url), Some(file)) => {
                self.refuse(
                    Diagnostic::new(&file.span, format!("`{key}` and `{key}_file` exclude each other"))
                        .label("this says where to call")
                        .context(&url.span, "and so does this")
                        .help("remove one of them"),
                );
                None
            }
        }
    }

    fn header(&mut self, name: &At<String>, value: &At<String>) -> Option<(String, Hidden)> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let shown = Escaped(name.value.as_bytes());
        if name.value.is_empty() || !name.value.bytes().all(is_token) {
            let title = format!("`{shown}` is not a valid name of a header");
            self.refuse(Diagnostic::new(&name.span, title).label("expected letters, digits and `-`"));
            return None;
        }
        if OWN_HEADERS.contains(&name.value.to_ascii_lowercase().as_str()) {
            let title = format!("the header `{shown}` is not for the configuration to set");
            self.refuse(Diagnostic::new(&name.span, title).label("it follows from the request itself"));
            return None;
        }
        let is_printable = |byte: u8| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic();
        if !value.value.bytes().all(is_printable) {
            let title = format!("the value of the header `{shown}` cannot be sent");
            self.refuse(Diagnostic::new(&value.span, title).label("expected ASCII without line breaks"));
            return None;
        }
        Some((name.value.clone(), Hidden::new(value.value.trim())))
    }

    fn code(&mut self, code: &At<FindingCode>) -> Option<FindingCode> {
        match code.value {
            FindingCode::Starting | FindingCode::Stopping | FindingCode::Notify => {
                let why = match code.value {
                    FindingCode::Notify => "whom the message would not reach either",
                    _ => "it is over by itself in a moment",
                };
                let title = format!("`{}` is told to nobody", code.value.name());
                self.refuse(Diagnostic::new(&code.span, title).label(why));
                None
            }
            told => Some(told),
        }
    }

    /// A program and its arguments, without a shell.
    fn program(&mut self, key: &str, words: &At<Vec<At<String>>>) -> Option<Vec<String>> {
        let Some(program) = words.value.first() else {
            self.refuse(
                Diagnostic::new(&words.span, format!("`{key}` is empty"))
                    .label("expected a program and its arguments, such as `[\"/usr/local/bin/tell\", \"--now\"]`"),
            );
            return None;
        };
        let name = program.value.as_str();
        let problem = if name.trim().is_empty() {
            Diagnostic::new(&program.span, format!("`{key}` names no program")).label("expected the path of a program")
        } else if name.contains('/') && !name.starts_with('/') {
            Diagnostic::new(&program.span, format!("the program of `{key}` is a relative path"))
                .label("cron and services start elsewhere")
                .help("write an absolute path, or a bare name that is looked for in `PATH`")
        } else if words.value.len() == 1 && name.contains(char::is_whitespace) && !name.starts_with('/') {
            Diagnostic::new(&program.span, format!("`{key}` is not a command line for a shell"))
                .label("each argument is a string of its own")
                .help("write `[\"program\", \"argument\"]`, or `[\"/bin/sh\", \"-c\", \"…\"]` for a shell")
        } else if let Some(word) = words.value.iter().find(|word| word.value.contains('\0')) {
            Diagnostic::new(&word.span, format!("`{key}` holds a NUL character")).label("no argument can hold one")
        } else {
            return Some(words.value.iter().map(|word| word.value.clone()).collect());
        };
        self.refuse(problem);
        None
    }
}
