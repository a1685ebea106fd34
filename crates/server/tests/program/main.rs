//! The program as its users run it: real files, real time, real signals.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod frozen;
mod world;

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use world::{World, exists, wait_until};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_file_goes_within_a_second_of_its_deadline_and_not_before() {
    let world = World::new();
    let server = world.serve();
    let mut events = server.events();
    let path = world.model("part.step", Duration::ZERO);
    events.wait_for("part.step");
    assert_eq!(server.tracked(), 1, "counted at once");
    let begun = Instant::now();
    let (status, file) = server.register("part.step", "2s");
    assert_eq!((status, file["ttl_seconds"].as_f64()), (201, Some(2.0)), "{file}");
    assert_eq!(server.register("part.step", "2s").0, 200, "known already");
    events.wait_for("event: removed");
    assert!(begun.elapsed() >= Duration::from_secs(2), "never early: {:?}", begun.elapsed());
    let told = events.wait_for("lateness_seconds");
    let value: serde_json::Value = serde_json::from_str(told.trim_start_matches("data: ")).unwrap();
    assert!(value["lateness_seconds"].as_f64().unwrap() < 1.0, "{value}");
    assert!(!exists(&path));
    assert_eq!(server.tracked(), 0);
    let log = server.log();
    assert_eq!(server.stop(), Some(0));
    assert!(log.contains("Registered file for cleanup") && log.contains("Cleaned up old file"), "{log}");
    assert!(!log.contains("part.step"), "no path at info: {log}");
}

#[test]
fn what_is_tracked_survives_a_sudden_end_and_nothing_goes_early() {
    let world = World::new();
    let server = world.serve();
    let mut events = server.events();
    // Old by its stamp, and new here.
    let moved = world.model("moved.step", 9000 * MINUTE);
    events.wait_for("moved.step");
    let told = world.model("told.step", 9000 * MINUTE);
    events.wait_for("told.step");
    assert_eq!(server.register("told.step", "1h").0, 201);
    let before = (server.due_at("moved.step"), server.due_at("told.step"));
    server.signal(Signal::KILL);
    drop(server);

    let server = world.serve();
    assert_eq!((server.due_at("moved.step"), server.due_at("told.step")), before);
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    assert!(exists(&moved) && exists(&told));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_memory_that_is_lost_or_cannot_be_written_costs_no_file() {
    let world = World::new();
    let server = world.serve();
    let mut events = server.events();
    let moved = world.model("moved.step", 9000 * MINUTE);
    events.wait_for("moved.step");
    let database = world.path(".cleanup/state.db");

    fs::remove_file(&database).unwrap();
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    assert!(exists(&moved), "deleted");
    fs::write(&database, "this is no database").unwrap();
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    assert!(exists(&moved), "ruined");
    fs::File::options().write(true).open(&database).unwrap().set_len(0).unwrap();
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    assert!(exists(&moved), "truncated");
    let another = world.model("another.step", 9000 * MINUTE);
    events.wait_for("another.step");
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    assert!(exists(&another));
    assert_eq!(server.call_text("GET", "/healthz", "").0, 200);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_broken_configuration_is_not_taken_and_a_good_one_is() {
    let world = World::new();
    let server = world.serve();
    let path = world.model("a.step", 10 * MINUTE);
    wait_until(|| server.tracked() == 1, "tracked");
    fs::write(world.path("cleanup.toml"), "[files.temp-models]\nroot = 7\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("stays as it was");
    assert_eq!(server.tracked(), 1);

    world.configure("max_age = \"2h\"", "");
    server.signal(Signal::HUP);
    server.wait_for_log("configuration reloaded");
    let (_, stats) = server.call("GET", "/cleanup/stats", "");
    assert_eq!(stats["cleanup_stats"]["cleanup_interval_minutes"], 120);
    assert!(exists(&path));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn it_ends_in_time_with_an_open_stream_and_a_sweep_under_way() {
    let world = World::new();
    world.configure("max_age = \"30m\"\nrecursive = true", "");
    let server = world.serve();
    let events = server.events();
    let idle = std::net::TcpStream::connect(&server.address).unwrap();
    for number in 0..3000 {
        fs::write(world.path("temp_models").join(format!("{number}.step")), "").unwrap();
    }
    let (status, _) = server.call_text("POST", "/api/v1/sweeps", r#"{"policies":["temp-models"],"dry_run":true}"#);
    assert_eq!(status, 202);
    let begun = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    events.end();
    drop(idle);
}

#[test]
fn schedules_make_up_for_a_missed_run_and_say_when_nothing_was_found() {
    let world = World::new();
    world.configure("max_age = \"30m\"\nevery = \"2s\"", "");
    let server = world.serve();
    server.wait_for_log("Cleanup check: no files older than 30 minutes found");
    wait_until(
        || {
            let (_, runs) = server.call("GET", "/api/v1/runs", "");
            runs["runs"].as_array().is_some_and(|runs| runs.iter().any(|run| run["trigger"] == "schedule"))
        },
        "a run by schedule in the history",
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_cannot_be_is_said_at_the_start_with_its_code() {
    let world = World::new();
    let server = world.serve();
    let taken = server.address.clone();
    let listen = |address: &str| {
        let text = fs::read_to_string(world.path("cleanup.toml")).unwrap();
        let start = text.find("listen = ").unwrap();
        fs::write(world.path("cleanup.toml"), format!("{}listen = \"{address}\"\n", &text[..start])).unwrap();
        let output = world.command().output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = listen(&taken);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&taken) && said.contains("listen"), "{said}");
    let (code, said) = listen("0.0.0.0:0");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("token"), "{said}");
    let (code, said) = listen("nonsense");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains('^'), "a caret shows the place: {said}");
    let output = world.command().arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_self_test_passes() {
    let output = World::new().command().arg("--self-test").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("self-test passed\n"), "{said}");
}

#[test]
fn an_idle_service_uses_no_processor() {
    let world = World::new();
    for number in 0..1000 {
        world.model(&format!("{number}.step"), Duration::ZERO);
    }
    let server = world.serve();
    assert_eq!(server.tracked(), 1000);
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, begun) = (ticks(), SystemTime::now());
    while begun.elapsed().unwrap() < Duration::from_secs(2) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let used = ticks() - before;
    assert!(used <= 2, "{used} ticks of 10 ms in two idle seconds");
}
