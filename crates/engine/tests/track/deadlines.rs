//! What goes when its time has come, and what holds it back.

use super::*;

#[test]
fn a_hold_keeps_a_file_past_its_deadline() {
    let world = World::plain();
    world.make("a.step", 31 * MINUTE);
    let tracking = world.track();
    let id = tracking.id("a.step");
    tracking.tracker.hold(&id, 5 * MINUTE, None).unwrap().unwrap();
    assert!(tracking.tracker.file(&id).unwrap().held_until.is_some());
    assert_eq!(tracking.remove_due(), 0);
    assert_eq!(tracking.tracker.release(&id, None).unwrap(), Some(true));
    assert_eq!(tracking.remove_due(), 1);
    assert_eq!(
        tracking.tracker.hold(&id, MINUTE, None).unwrap().map(|_| ()),
        Some(()),
        "a path may be held before it is"
    );
    assert_eq!(tracking.tracker.hold("models", MINUTE, None).unwrap(), None);
}

#[test]
fn a_rule_that_was_changed_and_takes_too_much_holds_deadlines_back() {
    let world = World::plain();
    for number in 0..200 {
        world.make(&format!("{number}.step"), 10 * MINUTE);
    }
    let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(engine.sweep(&sweep, &()).unwrap().totals.removed, 0);
    let file = world.folder.path().join("cleanup.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("30m", "3m")).unwrap();

    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
    let message = report.message.unwrap();
    assert!(message.contains("max_age was changed from"), "{message}");
    assert!(tracking.tracker.policy("models").unwrap().held.is_some());
    tracking.engine.sweep(&Request { force: true, ..sweep }, &()).unwrap();
    assert!(!world.exists("7.step"));
}

/// As after a restart with another configuration.
fn rewrite(world: &World, from: &str, to: &str) {
    let file = world.folder.path().join("cleanup.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).unwrap();
}

#[test]
fn a_rule_that_was_changed_between_two_starts_holds_deadlines_although_no_sweep_ever_ran() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30d\"");
    for number in 0..200 {
        world.make(&format!("{number}.step"), 2 * 24 * 60 * MINUTE);
    }
    drop(world.track());
    rewrite(&world, "30d", "1h");
    for _ in 0..2 {
        let tracking = world.track();
        let held = tracking.tracker.policy("models").unwrap().held.unwrap();
        assert!(held.contains("max_age was changed from \"30d\" to \"1h\"") && held.contains("200 of 200"), "{held}");
        let report = tracking.tracker.remove_due("models").unwrap();
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
    }
    assert!(world.exists("7.step"));
    let tracking = world.track();
    tracking.engine.sweep(&Request { mode: Mode::Apply, force: true, ..Request::default() }, &()).unwrap();
    assert!(!world.exists("7.step"));
    drop(tracking);
    for number in 0..200 {
        world.make(&format!("{number}.step"), 2 * 24 * 60 * MINUTE);
    }
    assert_eq!(world.track().remove_due(), 200, "it is the rule now");
}

#[test]
fn a_protection_that_was_loosened_between_two_starts_holds_deadlines_whatever_the_share() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"1h\"\nexclude = [\"keep-*\"]");
    for number in 0..150 {
        world.make(&format!("keep-{number}.step"), 120 * MINUTE);
        world.make(&format!("a{number}.step"), MINUTE);
        world.make(&format!("b{number}.step"), MINUTE);
    }
    drop(world.track());
    rewrite(&world, "exclude = [\"keep-*\"]", "");
    let tracking = world.track();
    assert!(tracking.tracker.policy("models").unwrap().held.unwrap().contains("exclude was removed"));
    assert_eq!(tracking.remove_due(), 0);
    drop(tracking);
    rewrite(&world, "track = true", "track = true\nexclude = [\"keep-*\"]");
    let tracking = world.track();
    assert_eq!(tracking.tracker.policy("models").unwrap().held, None, "put back, it goes on");
}

#[test]
fn a_changed_rule_that_takes_little_is_the_rule_from_the_next_start_on() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30d\"");
    world.make("a.step", 120 * MINUTE);
    drop(world.track());
    rewrite(&world, "30d", "1h");
    assert_eq!(world.track().remove_due(), 1);
    for number in 0..150 {
        world.make(&format!("{number}.step"), 120 * MINUTE);
    }
    assert_eq!(world.track().remove_due(), 150);
}

#[test]
fn a_start_does_not_take_a_changed_limit_for_the_rule_before_a_sweep_has_seen_it() {
    let world = World::new("include = [\"*.step\"]\nmax_files = 1000");
    for number in 0..150 {
        world.make(&format!("{number}.step"), MINUTE);
    }
    drop(world.track());
    rewrite(&world, "1000", "10");
    let tracking = world.track();
    let report = tracking.engine.sweep(&Request { mode: Mode::Apply, ..Request::default() }, &()).unwrap();
    let policy = &report.policies[0];
    assert!(policy.message.as_ref().unwrap().contains("max_files was changed from 1000 to 10"), "{policy:?}");
    assert!(world.exists("7.step"));
}

#[test]
fn something_mounted_over_the_root_between_two_starts_holds_deadlines() {
    let world = World::plain();
    drop(world.track());
    let root = world.path("");
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&root).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("SKIPPED: this process may not mount");
        return;
    }
    world.make("victim.step", 31 * MINUTE);
    let tracking = world.track();
    let held = tracking.tracker.policy("models").unwrap().held;
    let removed = tracking.remove_due();
    drop(tracking);
    assert!(std::process::Command::new("umount").arg(&root).status().unwrap().success());
    assert!(held.is_some_and(|held| held.contains("another file system")));
    assert_eq!(removed, 0);
}

#[test]
fn a_database_that_is_empty_holds_deadlines() {
    let world = World::new(
        "include = [\"*.step\"]\nmax_age = \"30m\"\n\
         keep_referenced = { sessions = \"app\", query = \"select name from s\" }\n\
         [sessions.app]\nurl = \"sqlite:///app.db\"\ntable = \"s\"\nid_column = \"name\"\nactivity_column = \"at\"\n\
         max_idle = \"1h\"\nenabled = false",
    );
    let sql = |text: &str| {
        let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
        let database = world.folder.path().join("app.db");
        let made = std::process::Command::new("python3").args(["-c", python]).arg(database).arg(text).status();
        assert!(made.unwrap().success());
    };
    world.make("kept.step", 60 * MINUTE);
    world.make("due.step", 60 * MINUTE);
    sql("create table s (name text, at integer)");
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!(report.status, PolicyStatus::Held);
    assert!(report.message.unwrap().contains("returned no names"));
    sql("insert into s values ('kept.step', 1)");
    assert_eq!(tracking.remove_due(), 1);
    assert!(world.exists("kept.step"));
}

#[test]
fn what_deadlines_delete_for_good_is_in_the_audit_log_and_a_log_that_cannot_be_written_is_said() {
    let world = World::new(
        "include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"quarantine\"\nquarantine_for = \"1ms\"\n\
         [audit]\nfile = \"audit.jsonl\"",
    );
    world.make("a.step", 60 * MINUTE);
    let tracking = world.track();
    assert_eq!(tracking.tracker.remove_due("models").unwrap().counts.quarantined, 1);
    drop(tracking);
    world.make("b.step", 60 * MINUTE);
    let tracking = world.track();
    assert_eq!(tracking.tracker.remove_due("models").unwrap().counts.purged, 1);
    let audit = fs::read_to_string(world.folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"purged\""), "{audit}");
    drop(tracking);

    fs::remove_file(world.folder.path().join("audit.jsonl")).unwrap();
    fs::create_dir(world.folder.path().join("audit.jsonl")).unwrap();
    world.make("c.step", 60 * MINUTE);
    let tracking = world.track();
    tracking.remove_due();
    tracking.tracker.stop();
    let run = tracking.engine.history(1).unwrap().runs[0].run_id.clone();
    let notes = tracking.engine.past_run(&run).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("lines are missing from the audit log")), "{notes:?}");
}

#[test]
fn removals_are_summed_up_in_the_history() {
    let world = World::plain();
    for number in 0..30 {
        world.make(&format!("{number}.step"), 31 * MINUTE);
    }
    let tracking = world.track();
    assert_eq!(tracking.remove_due(), 30);
    world.move_in("late.step", MINUTE);
    tracking.hear("registered models late.step");
    tracking.tracker.register("models", b"late.step", Some(Duration::from_millis(1))).unwrap();
    while world.exists("late.step") {
        tracking.remove_due();
    }
    tracking.tracker.stop();
    let runs = tracking.engine.history(10).unwrap().runs;
    let removed: Vec<u64> = runs.iter().map(|run| run.removed).collect();
    assert_eq!(removed, [1, 30], "the first at once, the rest together");
    assert!(tracking.engine.last_runs().is_empty(), "deadlines are no runs of a policy");
}

#[test]
fn everything_that_is_due_goes_at_once_however_much_it_is() {
    let world = World::plain();
    for number in 0..FILES {
        let file = File::create(world.path(&format!("{number}.step"))).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
    }
    let tracking = world.track();
    assert_eq!(tracking.remove_due(), FILES);
}

#[test]
fn what_takes_too_much_is_held_back_however_much_it_is() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nmax_removal_percent = 50");
    for number in 0..FILES + 1_000 {
        let file = File::create(world.path(&format!("{number}.step"))).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
    }
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
}

#[test]
fn a_tracker_that_is_to_stop_soon_ends_after_the_item_in_hand() {
    let world = World::plain();
    for name in ["a.step", "b.step", "c.step"] {
        world.make(name, 31 * MINUTE);
    }
    let tracking = world.track();
    tracking.tracker.stop_soon();
    assert_eq!(tracking.remove_due(), 1);
    tracking.tracker.stop();
    assert_eq!(tracking.engine.history(10).unwrap().runs.len(), 1);
}

#[test]
fn what_is_moved_over_a_file_that_is_due_is_another_file() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        world.move_in("a.step", 9000 * MINUTE);
        tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(1))).unwrap();
        // Nothing is waited for: whether or not the thread that watches has heard of it, the removal has.
        world.move_in("a.step", 9000 * MINUTE + number * MINUTE);
        assert_eq!(tracking.remove_due(), 0);
        assert!(world.exists("a.step"));
    }
}

#[test]
fn bytes_that_go_at_deadlines_are_told_as_freed_or_quarantined() {
    for (dispose, went) in [("delete", "went models 4096 0"), ("quarantine", "went models 0 4096")] {
        let world = World::new(&format!("include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"{dispose}\""));
        world.make("a.step", 40 * MINUTE);
        let tracking = world.track();
        tracking.wait_for_counts((1, 1));
        tracking.tracker.remove_due("models").unwrap();
        tracking.hear(went);
        tracking.hear("removed models a.step");
    }
}

#[test]
fn a_sweep_tells_the_tracker_itself_what_it_has_removed() {
    let world = World::plain();
    for name in ["told.step", "old.step"] {
        world.make(name, 90 * MINUTE);
    }
    let engine = Arc::new(Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap());
    let ((told, hear), (go_on, kept)) = (channel(), channel());
    let tracker = Tracker::start(&engine, Arc::new(Keeping(Mutex::new((told, kept)))));
    tracker.register("models", b"told.step", Some(Duration::from_millis(1))).unwrap();
    fs::write(world.path("new.step"), "").unwrap();
    hear.recv_timeout(LONG).unwrap();
    // The thread that would hear of it from the kernel is kept.
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let removed = engine.sweep(&sweep, &()).unwrap().totals.removed;
    let known = tracker.policy("models").unwrap().total_files;
    let promises = fs::read_to_string(world.folder.path().join(".cleanup/promises.jsonl")).unwrap();
    go_on.send(()).unwrap();
    assert_eq!((removed, known), (2, 1), "only the new one is known");
    assert_eq!(promises.matches("told.step").count(), 2, "given, and taken back: {promises}");
}

#[test]
fn what_goes_at_its_deadline_goes_into_the_quarantine_of_the_run_that_tells_of_it() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"quarantine\"");
    world.make("a.step", 60 * MINUTE);
    // The first removal is written down at once, the later ones together.
    world.make("b.step", Duration::from_millis(30 * 60_000 - 5000));
    world.make("c.step", Duration::from_millis(30 * 60_000 - 5300));
    let tracking = world.track();
    let mut counts = Vec::new();
    while counts.iter().sum::<u64>() < 3 {
        let report = tracking.tracker.remove_due("models").unwrap();
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, 0), "{report:?}");
        counts.extend(Some(report.counts.quarantined).filter(|count| *count > 0));
        std::thread::yield_now();
    }
    for name in ["a.step", "b.step", "c.step"] {
        tracking.hear(&format!("removed models {name}"));
    }
    assert_eq!(fs::read_dir(world.path(".cleanup/quarantine")).unwrap().count(), 2, "one folder a run");
    tracking.tracker.stop();
    let history = tracking.engine.history(1).unwrap();
    let run = history.runs[0].run_id.clone();
    assert_eq!(history.runs[0].quarantined, 2);

    let request =
        RestoreRequest { what: Restore::Run(run), hold: RestoreRequest::HOLD, mode: Mode::Apply, asked_by: None };
    assert_eq!(tracking.engine.restore(&request, &mut |_| {}).unwrap().restored, 2);
    assert!(world.exists("b.step") && world.exists("c.step") && !world.exists("a.step"));
    let again = world.track();
    assert_eq!(again.tracker.remove_due("models").unwrap().counts.quarantined, 0, "held");
    assert!(world.exists("b.step") && world.exists("c.step"));
}

#[test]
fn deadlines_are_held_by_a_quarantine_that_is_not_ours_alone() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\ndispose = \"quarantine\"");
    world.make("a.step", 60 * MINUTE);
    fs::create_dir(world.path(".cleanup")).unwrap();
    fs::set_permissions(world.path(".cleanup"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    assert_eq!(report.status, PolicyStatus::Held);
    assert!(report.message.unwrap().contains("chmod 700"), "and says why");
}

#[test]
fn a_deadline_spares_the_newest_and_a_sweep_takes_them_once_they_are_not() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nkeep_newest = 2");
    for (name, minutes) in [("a.step", 40), ("b.step", 35), ("c.step", 33)] {
        world.make(name, minutes * MINUTE);
    }
    let tracking = world.track();
    tracking.hear("watching models events");
    assert_eq!(tracking.remove_due(), 1);
    assert!(!world.exists("a.step") && world.exists("b.step") && world.exists("c.step"));
    assert_eq!(tracking.tracker.next_deadline("models"), None, "time alone changes nothing any more");

    world.make("d.step", Duration::ZERO);
    tracking.hear("registered models d.step");
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 1);
    assert!(!world.exists("b.step") && world.exists("c.step"));
}

#[test]
fn what_is_tracked_beyond_its_limit_is_pressure() {
    let world = World::new("include = [\"*.step\"]\nmax_files = 2");
    world.make("a.step", 2 * MINUTE);
    world.make("b.step", MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    assert!(tracking.engine.has_pressure() && tracking.engine.pressure().is_empty());
    world.make("c.step", Duration::ZERO);
    tracking.hear("registered models c.step");
    assert_eq!(tracking.engine.pressure(), ["models"]);
}

#[test]
fn a_file_system_with_less_free_than_asked_for_is_pressure() {
    let pressure = |keys: &str| {
        let world = World::new(&format!("include = [\"*.step\"]\n{keys}"));
        let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
        (engine.has_pressure(), engine.pressure())
    };
    assert_eq!(pressure("max_age = \"1h\""), (false, vec![]));
    assert_eq!(pressure("min_free = \"1KB\""), (true, vec![]));
    assert_eq!(pressure("min_free = \"4000000TiB\""), (true, vec!["models".to_owned()]));
    assert_eq!(pressure("min_free = \"4000000TiB\"\nmode = \"observe\""), (false, vec![]));
}

#[test]
fn who_stops_before_the_newest_are_known_loses_none_of_them() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nkeep_newest = 1");
    world.make("a.step", 40 * MINUTE);
    let engine = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    let report = engine.sweep(&Request { mode: Mode::Apply, ..Request::default() }, &Impatient).unwrap();
    let policy = &report.policies[0];
    assert_eq!((policy.status, policy.counts.removed), (PolicyStatus::Partial, 0));
    assert_eq!(policy.message.as_deref(), Some("stopped before its limits were known"));
    assert!(world.exists("a.step"));
}

#[test]
fn what_has_just_arrived_is_looked_at_again_when_it_has_settled() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nmin_age = \"10m\"");
    world.make("copied.step", 400 * 24 * 60 * MINUTE);
    let tracking = world.track();
    assert_eq!(tracking.remove_due(), 0);
    assert!(world.exists("copied.step"));
    let file = tracking.tracker.file(&tracking.id("copied.step")).unwrap();
    assert_eq!(file.due_at, None, "it is looked at again before anything is known to be due");
}

#[test]
fn deadlines_by_atime_are_not_kept_where_reads_are_not_recorded() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"3d\"\nstamp = \"atime\"");
    let models = world.path("");
    let mount =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "noatime", "tmpfs"]).arg(&models).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("SKIPPED: this process may not mount");
        return;
    }
    world.make("read.step", MINUTE);
    let long_ago = SystemTime::now() - 40 * 24 * 60 * MINUTE;
    File::open(world.path("read.step")).unwrap().set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    let tracking = world.track();
    let report = tracking.tracker.remove_due("models").unwrap();
    let exists = world.exists("read.step");
    drop(tracking);
    assert!(std::process::Command::new("umount").arg("-l").arg(&models).status().unwrap().success());
    assert!(exists);
    assert_eq!((report.status, report.counts.removed), (PolicyStatus::Held, 0));
    let message = report.message.unwrap();
    assert!(message.contains("`noatime`"), "{message}");
}
