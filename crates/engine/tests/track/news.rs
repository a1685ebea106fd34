//! What appears, goes and moves, as the kernel tells it.

use super::*;

#[test]
fn what_is_there_counts_by_its_stamps_and_what_appears_counts_from_now() {
    let world = World::plain();
    world.make("old.step", 31 * MINUTE);
    world.make("young.step", 10 * MINUTE);
    world.make("keep-1.step", 31 * MINUTE);
    world.make("other.txt", 31 * MINUTE);
    let tracking = world.track();
    tracking.hear("watching models events");
    assert_eq!(tracking.counts(), (3, 2), "an archive is there, and has no deadline");
    assert_eq!(tracking.minutes_left("young"), 20);

    world.move_in("moved.step", 9000 * MINUTE);
    tracking.hear("registered models moved.step");
    world.make("new.step", Duration::ZERO);
    tracking.hear("registered models new.step");
    assert_eq!(tracking.counts(), (5, 4));
    assert_eq!((tracking.minutes_left("moved"), tracking.minutes_left("new")), (30, 30));

    assert_eq!(tracking.remove_due(), 1);
    tracking.hear("removed models old.step");
    assert_eq!(tracking.remove_due(), 0);
    assert!(!world.exists("old.step") && world.exists("keep-1.step") && world.exists("other.txt"));
    assert_eq!(tracking.counts(), (4, 3));

    fs::remove_file(world.path("young.step")).unwrap();
    world.make("last.step", Duration::ZERO);
    tracking.hear("registered models last.step");
    assert_eq!(tracking.counts(), (4, 3), "what vanishes is forgotten without a word");
}

#[test]
fn folders_that_appear_with_files_in_them_are_looked_into() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    let tracking = world.track();
    for number in 0..20 {
        world.make(&format!("job{number}/deep/er/part.step"), Duration::ZERO);
    }
    for number in 0..20 {
        tracking.hear_any_order(&format!("registered models job{number}/deep/er/part.step"));
    }
    fs::rename(world.path("job1"), world.path("renamed")).unwrap();
    tracking.hear("registered models renamed/deep/er/part.step");
    assert_eq!(tracking.counts(), (20, 20));
    fs::remove_dir_all(world.path("job2")).unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.counts(), (20, 20));
}

#[test]
fn a_burst_larger_than_the_kernel_can_queue_is_taken_in_whole() {
    let world = World::plain();
    let tracking = world.track();
    for number in 0..FILES {
        File::create(world.path(&format!("{number}.step"))).unwrap();
    }
    for _ in 0..FILES {
        let said = tracking.said.recv_timeout(LONG).unwrap();
        assert!(said.starts_with("registered") || said.starts_with("watching"), "{said}");
    }
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!(tracking.counts(), (FILES + 1, FILES + 1));
}

#[test]
fn a_root_that_comes_later_is_found() {
    let world = World::plain();
    fs::remove_dir(world.folder.path().join("models")).unwrap();
    let tracking = world.track();
    assert!(matches!(tracking.tracker.policy("models").unwrap().watching, Watching::Missing { .. }));
    assert!(matches!(tracking.tracker.register("models", b"a.step", None), Err(RegisterError::Unavailable(_))));
    world.make("a.step", 31 * MINUTE);
    tracking.tracker.rescan("models");
    tracking.hear("watching models events");
    tracking.wait_for_counts((1, 1));
    assert_eq!(tracking.remove_due(), 1);

    fs::rename(world.folder.path().join("models"), world.folder.path().join("away")).unwrap();
    tracking.hear("watching models missing");
    assert_eq!(tracking.counts(), (0, 0));
}

#[test]
fn what_happens_in_a_folder_that_was_moved_away_is_of_no_account() {
    let world = World::new("include = [\"*.step\"]\nmax_age = \"30m\"\nrecursive = true");
    world.make("job/part.step", Duration::ZERO);
    let tracking = world.track();
    let away = world.folder.path().join("away");
    fs::rename(world.path("job"), &away).unwrap();
    world.make("job/part.step", Duration::ZERO);
    tracking.hear("registered models job/part.step");
    tracking.tracker.register("models", b"job/part.step", Some(600 * MINUTE)).unwrap();
    fs::remove_file(away.join("part.step")).unwrap();
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.counts(), tracking.minutes_left("job/part.step")), ((2, 2), 600));
}

#[test]
fn a_file_copied_in_with_its_old_stamp_counts_from_when_it_appeared() {
    let world = World::plain();
    let tracking = world.track();
    let mut copy = File::create(world.path("copy.step")).unwrap();
    tracking.hear("registered models copy.step");
    std::io::Write::write_all(&mut copy, b"a large file").unwrap();
    copy.set_times(FileTimes::new().set_modified(SystemTime::now() - 9000 * MINUTE)).unwrap();
    drop(copy);
    world.make("mark.step", Duration::ZERO);
    tracking.hear("registered models mark.step");
    assert_eq!((tracking.remove_due(), tracking.minutes_left("copy.step")), (0, 30));
}
