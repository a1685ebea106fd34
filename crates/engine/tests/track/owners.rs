//! Files of a tracked policy that belong to another one.

use cleanup_engine::track::RegisterError;

use crate::{MINUTE, World};

/// The tracked policy goes deep, and another has the folder `long`.
fn world() -> World {
    World::new(
        "include = [\"*\"]\nrecursive = true\nmax_age = \"30m\"\n\
         [files.long]\nroot = \"models/long\"\ninclude = [\"*.keep\"]\nexclude = [\"spared\"]\nmax_age = \"30d\"\nenabled = false",
    )
}

#[test]
fn a_file_of_an_inner_policy_has_no_deadline_here_and_cannot_be_registered() {
    let world = world();
    for name in ["a", "long/a.keep", "long/spared", "long/other"] {
        world.make(name, 40 * MINUTE);
    }
    let tracking = world.track();
    assert_eq!(tracking.counts(), (2, 2));
    for name in ["long/a.keep", "long/spared"] {
        let refused = tracking.tracker.register("models", name.as_bytes(), Some(MINUTE)).unwrap_err();
        assert!(matches!(&refused, RegisterError::Refused(why) if why.contains("policy `long`")), "{refused}");
    }
    assert_eq!(tracking.remove_due(), 2);
    assert!(!world.exists("a") && !world.exists("long/other"));
    assert!(world.exists("long/a.keep") && world.exists("long/spared"));
}

#[test]
fn a_deadline_of_before_takes_nothing_of_a_root_that_has_come_since() {
    let world = world();
    world.make("job/a.keep", 40 * MINUTE);
    let tracking = world.track();
    assert_eq!(tracking.counts(), (1, 1));
    // The file that is due is the inner policy's now; whether the kernel has told of it does not matter.
    std::os::unix::fs::symlink("job", world.path("long")).unwrap();
    assert_eq!(tracking.remove_due(), 0);
    assert!(world.exists("job/a.keep"));
}
