//! What the service never changes: the two answers and the five messages of the service that it replaced.
//!
//! Clients parse the answers, and some of them do it by hand, so the order of the keys and the wording are kept to the
//! byte. People have alerts on the messages and count them. A test here that fails is a broken promise to them, not a
//! test to be adapted. `cleanup_stats` may gain keys where there is something to say that the old service could not.
//!
//! The keys of all other answers are frozen in `xtask/tests/frozen.rs`, what the command line keeps in
//! `crates/cli/tests/cli/frozen.rs`.

use std::fs;
use std::time::Duration;

use crate::world::{World, wait_until};

const MINUTE: Duration = Duration::from_mins(1);

/// As the document of that service shows them.
const STATS: &str = r#"{
  "status": "success",
  "cleanup_stats": {
    "total_files": 5,
    "tracked_files": 3,
    "cleanup_interval_minutes": 30,
    "service_running": true
  }
}"#;
const MANUAL: &str = r#"{
  "status": "success",
  "message": "Manual cleanup completed",
  "cleanup_stats": {
    "total_files": 2,
    "tracked_files": 1,
    "cleanup_interval_minutes": 30,
    "service_running": true
  }
}"#;

/// The document's answer with other numbers, without the white space between its parts.
fn documented(answer: &str, total: u64, tracked: u64) -> String {
    let number = |line: &str| match line.trim() {
        line if line.starts_with("\"total_files\"") => format!("\"total_files\":{total},"),
        line if line.starts_with("\"tracked_files\"") => format!("\"tracked_files\":{tracked},"),
        line => line.replace("\": ", "\":"),
    };
    answer.lines().map(number).collect()
}

#[test]
fn both_answers_are_those_of_the_document() {
    let world = World::new();
    world.model("old.step", 31 * MINUTE);
    world.model("a.step", Duration::ZERO);
    world.model("b.step", Duration::ZERO);
    world.model("notes.txt", 31 * MINUTE);
    let server = world.serve();
    wait_until(|| server.tracked() == 2, "the old one goes at once");
    assert_eq!(server.call_text("GET", "/cleanup/stats", ""), (200, documented(STATS, 2, 2)));
    assert_eq!(server.call_text("POST", "/cleanup/manual", ""), (200, documented(MANUAL, 2, 2)));
    fs::remove_file(world.path("temp_models/b.step")).unwrap();
    wait_until(|| server.tracked() == 1, "what is gone is forgotten");
    assert_eq!(server.call_text("POST", "/cleanup/manual", ""), (200, documented(MANUAL, 1, 1)));
    assert_eq!(server.call_text("GET", "/cleanup/stats", ""), (200, documented(STATS, 1, 1)));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_five_messages_are_those_of_the_document() {
    let world = World::new();
    world.configure("max_age = \"30m\"\nevery = \"1s\"", "");
    let server = world.serve();
    server.wait_for_log(" INFO Temp cleanup service initialized\n");
    let mut events = server.events();
    world.model("a.step", Duration::ZERO);
    server.wait_for_log(" INFO Registered file for cleanup\n");
    events.wait_for("a.step");
    server.wait_for_log(" INFO Cleanup check: no files older than 30 minutes found");
    assert_eq!(server.register("a.step", "1ms").0, 201);
    server.wait_for_log(" INFO Cleaned up old file");
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(world.path("log")).unwrap();
    assert!(log.ends_with(" INFO Cleanup service stopped\n"), "{log}");
    for message in ["Temp cleanup service initialized", "Cleanup service stopped"] {
        assert_eq!(log.matches(message).count(), 1, "{log}");
    }
    assert!(!log.contains("a.step"), "paths are for `debug`: {log}");
}

#[test]
fn the_age_in_the_message_is_the_policy_s() {
    for (max_age, age) in [("1m", "1 minute"), ("90m", "90 minutes"), ("24h", "1440 minutes")] {
        let world = World::new();
        world.configure(&format!("max_age = \"{max_age}\"\nevery = \"1s\""), "");
        let server = world.serve();
        server.wait_for_log(&format!(" INFO Cleanup check: no files older than {age} found"));
        assert_eq!(server.stop(), Some(0));
    }
}
