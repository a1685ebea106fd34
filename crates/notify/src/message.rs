//! One message, as it is sent.

use cleanup_core::candidate::harmless;
use cleanup_core::moment::Moment;
use cleanup_core::report::{Finding, FindingCode, Level};
use serde::{Deserialize, Serialize};

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something needs somebody, or still does.
    Finding,
    /// It is over.
    Recovered,
    /// Nothing: somebody tries whether messages arrive.
    Test,
}

impl Event {
    /// The name in JSON and in the environment of a program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Recovered => "recovered",
            Self::Test => "test",
        }
    }
}

/// The JSON of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// What it tells.
    pub event: Event,
    /// The name of this machine.
    pub host: String,
    /// The finding's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<FindingCode>,
    /// How bad it is, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The policy that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// When it was found first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// The finding's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The run that found it, or that did not find it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How many messages wait behind this one, where they are too many for one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// All of it in one sentence that stands alone.
    pub text: String,
}

/// Longest text that is sent, in bytes: chats refuse longer ones.
const LONGEST: usize = 2000;

impl Message {
    /// Tells of a finding that is there, or is over.
    pub fn of(event: Event, host: &str, finding: &Finding, run_id: Option<&str>) -> Self {
        let Finding { code, level, policy, since, text, remedy } = finding;
        let message = cut(&harmless(text));
        let whose = policy.as_ref().map(|policy| format!("{policy}: ")).unwrap_or_default();
        let sentence = match event {
            Event::Recovered => format!("cleanup on {host}: recovered: {whose}{message}"),
            Event::Finding | Event::Test => {
                let help = remedy.as_ref().map(|remedy| format!(" (try: {remedy})")).unwrap_or_default();
                format!("cleanup on {host}: {whose}{message}{help}")
            }
        };
        Self {
            event,
            host: host.to_owned(),
            code: Some(*code),
            level: Some(*level),
            policy: policy.clone(),
            since: Some(*since),
            message: Some(message),
            remedy: remedy.clone(),
            run_id: run_id.map(str::to_owned),
            waiting: None,
            text: sentence,
        }
    }

    /// Tells that it is a test.
    pub fn test(host: &str) -> Self {
        Self {
            event: Event::Test,
            host: host.to_owned(),
            code: None,
            level: None,
            policy: None,
            since: None,
            message: None,
            remedy: None,
            run_id: None,
            waiting: None,
            text: format!("cleanup on {host}: a test message; nothing is wrong"),
        }
    }

    /// Says how many messages wait behind this one.
    #[must_use]
    pub fn with_waiting(mut self, waiting: u64) -> Self {
        if waiting > 0 {
            self.text = format!("{} ({waiting} more wait to be sent)", self.text);
            self.waiting = Some(waiting);
        }
        self
    }

    /// The bytes that are sent.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of texts and numbers: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a program finds in its environment, besides the JSON on its standard input.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("CLEANUP_EVENT", self.event.name().to_owned()),
            ("CLEANUP_HOST", self.host.clone()),
            ("CLEANUP_TEXT", self.text.clone()),
        ];
        variables.extend(self.code.map(|code| ("CLEANUP_CODE", code.name().to_owned())));
        variables.extend(self.policy.clone().map(|policy| ("CLEANUP_POLICY", policy)));
        variables
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str) -> Finding {
        let code = FindingCode::RootMissing;
        Finding {
            code,
            level: code.level(),
            policy: Some("svgs".to_owned()),
            since: Moment::EPOCH,
            text: text.to_owned(),
            remedy: Some("mkdir -p /srv/svgs".to_owned()),
        }
    }

    #[test]
    fn a_message_reads_alone_and_has_the_findings_own_words() {
        let message = Message::of(Event::Finding, "web1", &finding("/srv/svgs does not exist"), Some("01A"));
        let json: serde_json::Value = serde_json::from_slice(&message.to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "event": "finding", "host": "web1", "code": "root_missing", "level": "error", "policy": "svgs",
                "since": "1970-01-01T00:00:00.000Z", "message": "/srv/svgs does not exist",
                "remedy": "mkdir -p /srv/svgs", "run_id": "01A",
                "text": "cleanup on web1: svgs: /srv/svgs does not exist (try: mkdir -p /srv/svgs)",
            })
        );
        let over = Message::of(Event::Recovered, "web1", &finding("/srv/svgs does not exist"), None).with_waiting(3);
        assert_eq!(over.text, "cleanup on web1: recovered: svgs: /srv/svgs does not exist (3 more wait to be sent)");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_obeyed_by_no_terminal() {
        let message = Message::of(Event::Finding, "h", &finding(&"é".repeat(5000)), None);
        assert!(message.text.len() < LONGEST + 100 && message.message.unwrap().ends_with('…'));
        let message = Message::of(Event::Finding, "h", &finding("a\u{1b}[31mb\0c"), None);
        assert!(!message.text.contains(['\u{1b}', '\0']), "{}", message.text);
        assert!(message.variables().iter().all(|(_, value)| !value.contains('\0')));
    }
}
