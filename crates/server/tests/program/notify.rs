//! Who is told of findings by the service, and what runs after files went.

use std::fs;
use std::time::{Duration, SystemTime};

use cleanup_test_webhook::{Answer, Webhook};
use serde_json::Value;

use crate::world::{World, wait_until};

/// A world whose service tells this webhook.
fn world(webhook: &Webhook, more: &str) -> World {
    let world = World::new();
    fs::create_dir(world.path("svgs")).unwrap();
    let notify = format!("[notify]\nwebhook = \"{}\"\n{more}\n", webhook.url("/hush"));
    let svgs = "[files.svgs]\nroot = \"svgs\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n";
    world.configure("max_age = \"30m\"", &format!("{notify}{svgs}"));
    world
}

fn events(webhook: &Webhook) -> Vec<(String, String, String)> {
    let of = |body: &[u8]| {
        let message: Value = serde_json::from_slice(body).unwrap();
        let word = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        (word("event"), word("code"), word("policy"))
    };
    webhook.requests().iter().map(|request| of(&request.body)).collect()
}

fn event(event: &str, code: &str, policy: &str) -> (String, String, String) {
    (event.to_owned(), code.to_owned(), policy.to_owned())
}

const SWEEP: (&str, &str, &str) = ("POST", "/api/v1/sweeps?wait=true", r#"{"policies":["svgs"]}"#);

#[test]
fn a_broken_policy_is_told_once_also_over_a_restart_and_once_more_when_it_has_recovered() {
    let webhook = Webhook::start(Answer::Status(200)).unwrap();
    let world = world(&webhook, "");
    let server = world.serve();
    fs::remove_dir(world.path("svgs")).unwrap();
    for _ in 0..3 {
        assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    }
    wait_until(|| !events(&webhook).is_empty(), "it is told");
    assert_eq!(server.stop(), Some(0));
    let server = world.serve();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    fs::create_dir(world.path("svgs")).unwrap();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    wait_until(|| events(&webhook).len() > 1, "its end is told");
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    assert_eq!(server.stop(), Some(0));
    let expected = [event("finding", "root_missing", "svgs"), event("recovered", "root_missing", "svgs")];
    assert_eq!(events(&webhook), expected);
}

#[test]
fn a_webhook_that_never_answers_delays_nothing_and_is_a_finding() {
    let webhook = Webhook::start(Answer::Never).unwrap();
    let world = world(&webhook, "");
    let server = world.serve();
    fs::remove_dir(world.path("svgs")).unwrap();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    wait_until(|| !webhook.requests().is_empty(), "it is called");
    // While it is being waited for.
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    wait_until(|| server.findings().contains(&"notify".to_owned()), "it is found");
    server.wait_for_log("no answer in time");
    assert!(!server.log().contains("hush"), "{}", server.log());
    assert!(server.call_text("GET", "/metrics", "").1.contains("cleanup_finding{code=\"notify\""));
    let begun = std::time::Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());

    // What was not delivered is told by whoever comes next.
    webhook.answer(Answer::Status(200));
    let before = webhook.requests().len();
    let server = world.serve();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    wait_until(|| webhook.requests().len() > before, "it is told");
    wait_until(|| !server.findings().contains(&"notify".to_owned()), "it is found no more");
    assert_eq!(events(&webhook)[before..], [event("finding", "root_missing", "svgs")]);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_scheduled_sweep_pings_and_others_do_not() {
    let webhook = Webhook::start(Answer::Status(200)).unwrap();
    let world = world(&webhook, &format!("ping = \"{}\"", webhook.url("/ping")));
    let pings = || webhook.requests().iter().filter(|request| request.method == "GET").count();
    let server = world.serve();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(pings(), 0, "somebody asked for it");
    let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
    world.write("cleanup.toml", &text.replace("max_age = \"1h\"\n", "max_age = \"1h\"\nevery = \"1s\"\n"));
    let server = world.serve();
    wait_until(|| pings() > 0, "the schedule pings");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_goes_at_its_deadline_and_in_a_sweep_is_handed_on_once() {
    let webhook = Webhook::start(Answer::Status(200)).unwrap();
    let out = tempfile::tempdir().unwrap();
    let gone = out.path().join("gone");
    let after = format!("after = [\"/bin/sh\", \"-c\", \"cat >> {}\"]", gone.display());
    let world = world(&webhook, &after);
    let server = world.serve();
    let model = world.model("part.step", Duration::from_secs(3600));
    // Moved in with an old stamp: it was registered just now, and has a time of its own.
    wait_until(|| server.tracked() == 1, "tracked");
    assert_eq!(server.register("part.step", "1s").0, 201);
    let svg = world.path("svgs/a.svg");
    fs::write(&svg, "").unwrap();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(7200));
    fs::File::open(&svg).unwrap().set_times(times).unwrap();
    assert_eq!(server.call(SWEEP.0, SWEEP.1, SWEEP.2).0, 200);
    let paths = || {
        let text = fs::read_to_string(&gone).unwrap_or_default();
        let mut paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
        paths.sort();
        paths
    };
    wait_until(|| paths().len() == 2, "both are handed on");
    let mut expected = [model, svg].map(|path| path.to_str().unwrap().to_owned());
    expected.sort();
    assert_eq!(paths(), expected);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(paths(), expected, "once");
}
