//! What somebody tells of: it counts from then, or has a time of its own, and nothing takes that back.

use super::*;

#[test]
fn what_was_registered_survives_a_sudden_end() {
    let world = World::plain();
    let before = world.track();
    world.move_in("moved.step", 9000 * MINUTE);
    before.hear("registered models moved.step");
    world.move_in("told.step", 9000 * MINUTE);
    before.hear("registered models told.step");
    before.tracker.register("models", b"told.step", Some(60 * MINUTE)).unwrap();
    // As if it had been killed: nothing is written down at the end.
    std::mem::forget(before);

    let after = world.track();
    assert_eq!((after.minutes_left("moved"), after.minutes_left("told")), (30, 60));
    assert_eq!(after.remove_due(), 0);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let report = after.engine.sweep(&sweep, &()).unwrap();
    assert_eq!((report.totals.due, report.totals.removed), (0, 0), "a sweep beside it knows the same");
    drop(after);

    let command = Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap();
    assert_eq!(command.sweep(&sweep, &()).unwrap().totals.due, 0, "and so does one without the service");
    let said = command.explain(&world.path("told.step")).answers.remove(0).reason;
    assert!(said.contains("within its ttl 1h"), "{said}");

    fs::remove_dir_all(world.folder.path().join(".cleanup")).unwrap();
    let without = world.track();
    assert_eq!(without.counts(), (2, 2));
    assert_eq!(without.remove_due(), 2, "without memory only the disk counts");
}

#[test]
fn a_file_written_again_starts_anew_unless_it_has_a_time_of_its_own() {
    let world = World::plain();
    world.make("a.step", 25 * MINUTE);
    world.make("b.step", 25 * MINUTE);
    let tracking = world.track();
    let told = tracking.tracker.register("models", b"b.step", Some(MINUTE)).unwrap();
    assert!(told.is_new);
    assert_eq!((tracking.minutes_left("a.step"), told.file.ttl_seconds), (5, Some(60.0)));

    fs::write(world.path("a.step"), "again").unwrap();
    fs::write(world.path("b.step"), "again").unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.minutes_left("a.step"), tracking.minutes_left("b.step")), (30, 1));
    let again = tracking.tracker.register("models", b"b.step", None).unwrap();
    assert!(!again.is_new);
    assert_eq!((again.file.ttl_seconds, tracking.minutes_left("b.step")), (None, 30));
}

#[test]
fn a_short_time_of_its_own_ends_exactly_and_a_new_file_of_that_name_is_a_new_file() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    let file = tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(300))).unwrap().file;
    let removed = tracking.remove_due();
    assert!(removed == 0 || now_seconds() >= file.due_at.unwrap().unix_seconds(), "never early");
    while world.exists("a.step") {
        tracking.remove_due();
    }
    tracking.hear("removed models a.step");
    assert!(
        SystemTime::now()
            >= SystemTime::UNIX_EPOCH
                + Duration::from_millis(u64::try_from(file.due_at.unwrap().unix_millis()).unwrap())
    );
    world.make("a.step", Duration::ZERO);
    tracking.hear("registered models a.step");
    assert_eq!(tracking.minutes_left("a.step"), 30);
    assert_eq!(tracking.tracker.file(&file.id).unwrap().ttl_seconds, None);
}

#[test]
fn only_what_a_sweep_would_take_can_be_registered() {
    let world = World::plain();
    for name in ["a.step", "sub/b.step", "x.txt"] {
        world.make(name, Duration::ZERO);
    }
    fs::create_dir(world.path("folder.step")).unwrap();
    std::os::unix::fs::symlink(world.path("a.step"), world.path("link.step")).unwrap();
    std::os::unix::fs::symlink(world.path("sub"), world.path("way")).unwrap();
    let tracking = world.track_at_most(2);
    let long = vec![b'a'; 5000];
    let refused: [&[u8]; 15] = [
        b"",
        b"../../etc/passwd",
        b"/etc/passwd",
        b"a/../../a.step",
        b"%2e%2e%2fa.step",
        b"a\0.step",
        &long,
        b"x.txt",
        b"folder.step",
        b"link.step",
        b"way/b.step",
        b"sub/b.step",
        b"missing.step",
        b"a.step/",
        b"./../a.step",
    ];
    let root = world.folder.path().to_string_lossy().into_owned();
    for path in refused {
        let error = tracking.tracker.register("models", path, None).unwrap_err();
        assert!(matches!(error, RegisterError::Refused(_)), "{}: {error:?}", String::from_utf8_lossy(path));
        assert!(!error.to_string().contains(&root), "{error}");
    }
    let zero = tracking.tracker.register("models", b"a.step", Some(Duration::ZERO));
    assert!(matches!(zero, Err(RegisterError::Refused(_))));
    assert!(matches!(tracking.tracker.register("other", b"a", None), Err(RegisterError::UnknownPolicy(_))));
    assert!(tracking.tracker.register("models", b"a.step", None).is_ok());
    let same = tracking.tracker.register("models", b"./a.step", None).unwrap();
    assert_eq!((same.file.path.as_str(), same.is_new), ("a.step", false));

    world.make("b.step", Duration::ZERO);
    tracking.hear("registered models b.step");
    world.make("c.step", Duration::ZERO);
    tracking.hear("watching models rescans");
    assert_eq!(tracking.tracker.register("models", b"c.step", None), Err(RegisterError::TooMany(2)));
    assert_eq!(tracking.counts().0, 2);
}

#[test]
fn what_is_registered_while_it_is_being_looked_at_stays_registered() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("job/old.step", 90 * MINUTE);
    let engine = Arc::new(Engine::open(Some(&world.folder.path().join("cleanup.toml"))).unwrap());
    let ((told, hear), (go_on, kept)) = (channel(), channel());
    let tracker = Tracker::start(&engine, Arc::new(Keeping(Mutex::new((told, kept)))));
    // Both are looked at together, the one in the folder last.
    drop(File::options().append(true).open(world.path("job/old.step")).unwrap());
    fs::write(world.path("new.step"), "").unwrap();
    hear.recv_timeout(LONG).unwrap();
    // It waits for the look, or comes in the middle of it: it is the later one in any case.
    let file = std::thread::scope(|scope| {
        let registering = scope.spawn(|| tracker.register("models", b"job/old.step", Some(600 * MINUTE)).unwrap().file);
        go_on.send(()).unwrap();
        registering.join().unwrap()
    });
    tracker.rescan("models");
    let begun = Instant::now();
    while tracker.policy("models").unwrap().total_files < 2 {
        assert!(begun.elapsed() < LONG, "the second file is not found");
        std::thread::yield_now();
    }
    tracker.stop();
    assert_eq!(tracker.file(&file.id).unwrap().ttl_seconds, file.ttl_seconds);
}

#[test]
fn what_was_told_of_before_it_was_noticed_survives_a_sudden_end_too() {
    let world = World::plain();
    let before = world.track();
    world.move_in("told.step", 9000 * MINUTE);
    before.tracker.register("models", b"told.step", None).unwrap();
    std::mem::forget(before);
    let after = world.track();
    assert_eq!((after.remove_due(), after.minutes_left("told.step")), (0, 30));
}

#[test]
fn a_time_of_its_own_holds_for_whichever_policy_has_the_file() {
    let world = World::plain();
    world.make("a.step", 90 * MINUTE);
    let tracking = world.track();
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    tracking.tracker.stop();
    let other = "[files.all]\nroot = \"models\"\ntrack = true\ninclude = [\"*\"]\nmax_age = \"1h\"\n";
    fs::write(world.folder.path().join("cleanup.toml"), other).unwrap();
    let tracking = world.track();
    assert_eq!(tracking.tracker.remove_due("all").unwrap().counts.removed, 0);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 0);
    tracking.tracker.stop();
    assert!(world.exists("a.step"));
    assert_eq!(tracking.engine.history(10).unwrap().runs.len(), 1, "a look that removes nothing is no run");
}

#[test]
fn a_root_that_goes_and_comes_back_brings_its_promises_along() {
    let world = World::plain();
    world.make("a.step", 90 * MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    let (root, away) = (world.folder.path().join("models"), world.folder.path().join("away"));
    let replace = |with: &Path| {
        fs::rename(&root, if with == away { world.folder.path().join("empty") } else { away.clone() }).unwrap();
        fs::rename(with, &root).unwrap();
    };
    fs::create_dir(world.folder.path().join("empty")).unwrap();
    replace(&world.folder.path().join("empty"));
    tracking.wait_for_counts((0, 0));
    replace(&away);
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    assert_eq!(tracking.engine.sweep(&sweep, &()).unwrap().totals.removed, 0, "noticed or not");
    tracking.wait_for_counts((1, 1));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 600));
}

#[test]
fn a_root_that_is_replaced_again_and_again_is_watched_where_it_is_in_the_end() {
    let world = World::plain();
    world.make("a.step", 90 * MINUTE);
    let tracking = world.track();
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    let path = |name: &str| world.folder.path().join(name);
    let (root, away, empty) = (path("models"), path("away"), path("empty"));
    fs::create_dir(&empty).unwrap();
    for round in 0..30 {
        fs::rename(&root, &away).unwrap();
        fs::rename(&empty, &root).unwrap();
        if round % 3 == 0 {
            // At another moment of whatever it is doing.
            tracking.tracker.rescan("models");
        }
        fs::rename(&root, &empty).unwrap();
        fs::rename(&away, &root).unwrap();
    }
    tracking.wait_for_counts((1, 1));
    // The kernel tells of what happens in it.
    world.make("b.step", Duration::ZERO);
    tracking.wait_for_counts((2, 2));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 600));
}

#[test]
fn a_tracker_that_was_stopped_takes_nothing_in() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    tracking.tracker.stop();
    let refused = tracking.tracker.register("models", b"a.step", None);
    assert!(matches!(refused, Err(RegisterError::Unavailable(_))), "{refused:?}");
}

#[test]
fn whoever_registers_a_file_is_told_when_it_is_due() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        let name = format!("{number}.step");
        world.make(&name, Duration::ZERO);
        let told = tracking.tracker.register("models", name.as_bytes(), None).unwrap();
        assert!(told.file.due_at.is_some(), "{name}");
    }
}

#[test]
fn what_is_registered_in_the_middle_of_a_sweep_stays() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("a.step", 90 * MINUTE);
    world.make("job/b.step", 90 * MINUTE);
    let tracking = world.track();
    let sweep = Request { mode: Mode::Apply, ..Request::default() };
    let report = tracking.engine.sweep(&sweep, &Interfering(&tracking.tracker)).unwrap();
    assert_eq!((report.totals.removed, report.policies[0].counts.changed), (1, 1));
    assert!(world.exists("job/b.step"));
}

#[test]
fn a_ttl_that_is_over_says_nothing_of_a_file_that_is_moved_over_it() {
    let world = World::plain();
    world.make("a.step", Duration::ZERO);
    let tracking = world.track();
    let file = tracking.tracker.register("models", b"a.step", Some(Duration::from_millis(1))).unwrap().file;
    tracking.tracker.hold(&file.id, 60 * MINUTE, None).unwrap().unwrap();
    world.move_in("a.step", 9000 * MINUTE);
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.tracker.release(&file.id, None).unwrap(), Some(true));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 30));
}

#[test]
fn without_a_memory_files_are_registered_all_the_same_but_get_no_time_of_their_own() {
    let world = World::plain();
    fs::write(world.folder.path().join(".cleanup"), "").unwrap();
    let tracking = world.track();
    for number in 0..10 {
        let name = format!("{number}.step");
        world.move_in(&name, 90 * MINUTE);
        tracking.tracker.register("models", name.as_bytes(), None).unwrap();
        let ttl = tracking.tracker.register("models", name.as_bytes(), Some(MINUTE));
        assert!(matches!(ttl, Err(RegisterError::Unavailable(_))), "{ttl:?}");
    }
    assert_eq!(tracking.remove_due(), 0);
}

#[test]
fn another_folder_under_the_path_of_the_root_costs_no_promise() {
    let world = World::plain();
    let file = world.folder.path().join("cleanup.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"models\"", "\"release/models\"")).unwrap();
    let (release, away) = (world.folder.path().join("release"), world.folder.path().join("away"));
    fs::create_dir_all(release.join("models")).unwrap();
    fs::write(release.join("models/a.step"), "").unwrap();
    backdate(&release.join("models/a.step"), 90 * MINUTE);
    let tracking = world.track();
    tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
    let look_until = |counts| {
        tracking.tracker.rescan("models");
        let begun = SystemTime::now();
        while tracking.counts() != counts {
            assert!(begun.elapsed().unwrap() < LONG, "{:?}", tracking.counts());
            std::thread::yield_now();
        }
    };

    // The kernel tells nothing of that, as of something mounted over the root.
    fs::rename(&release, &away).unwrap();
    fs::create_dir_all(release.join("models")).unwrap();
    look_until((0, 0));
    fs::rename(&release, world.folder.path().join("empty")).unwrap();
    fs::rename(&away, &release).unwrap();
    look_until((1, 1));
    assert_eq!((tracking.remove_due(), tracking.minutes_left("a.step")), (0, 600));
}

#[test]
fn what_is_promised_of_a_new_file_outlasts_the_news_of_the_old_one() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..50 {
        world.make("a.step", Duration::ZERO);
        tracking.tracker.register("models", b"a.step", Some(600 * MINUTE)).unwrap();
        fs::remove_file(world.path("a.step")).unwrap();
        world.make("a.step", Duration::ZERO);
        let file = tracking.tracker.register("models", b"a.step", Some(60 * MINUTE)).unwrap().file;
        let mark = format!("mark{number}.step");
        world.make(&mark, Duration::ZERO);
        tracking.hear(&format!("registered models {mark}"));
        assert_eq!(tracking.tracker.file(&file.id).unwrap().ttl_seconds, Some(3600.0));
    }
}
