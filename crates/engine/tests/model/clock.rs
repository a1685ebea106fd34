//! The engine goes by clocks that a test moves, as it would by the kernel's.

use std::fs;
use std::time::Duration;

use cleanup_core::report::PolicyStatus;
use cleanup_core::sweep::Mode;
use cleanup_engine::{Engine, Request, TestClock};
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn what_a_test_does_to_the_clocks_is_what_the_guard_sees() {
    let clock = TestClock::take();
    let folder = TempDir::new().unwrap();
    let text = "[files.x]\nroot = 'root'\ninclude = ['*']\nmax_age = '7d'\n[state]\nurl = 'sqlite:state/state.db'\n";
    fs::write(folder.path().join("cleanup.toml"), text).unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    let engine = Engine::open(Some(&folder.path().join("cleanup.toml"))).unwrap();
    let sweep = || {
        let report = engine.sweep(&Request { mode: Mode::Apply, ..Request::default() }, &()).unwrap();
        (report.policies[0].status, report.policies[0].message.clone().unwrap_or_default())
    };
    let is_held = |(status, why): (PolicyStatus, String), says: &str| {
        assert_eq!(status, PolicyStatus::Held, "{why}");
        assert!(why.contains(says), "{why}");
    };

    assert_eq!(sweep().0, PolicyStatus::Ok);
    clock.pass(DAY);
    assert_eq!(sweep().0, PolicyStatus::Ok);
    clock.suspend(DAY);
    assert_eq!(sweep().0, PolicyStatus::Ok);
    clock.set_ahead(DAY);
    is_held(sweep(), "ran ahead");
    clock.set_back(2 * DAY);
    is_held(sweep(), "was set back");
    clock.set_ahead(DAY);
    assert_eq!(sweep().0, PolicyStatus::Ok);
    clock.reboot(DAY);
    assert_eq!(sweep().0, PolicyStatus::Ok);
    clock.set_back(DAY);
    is_held(sweep(), "was set back");
    clock.reboot(Duration::ZERO);
    is_held(sweep(), "is behind the last run");

    let moved = clock.now();
    drop(clock);
    let clock = TestClock::take();
    assert!(moved.since(clock.now()).unwrap() > DAY, "a clock that is taken anew begins at the real time");
}
