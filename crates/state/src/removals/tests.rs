use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Barrier;

use cleanup_core::damage::{Blow, damaged};
use proptest::prelude::*;

use super::record::Encoder;
use super::*;
use crate::folder;

const AT: Moment = Moment::from_unix(1_700_000_000, 0);

fn removal(path: &str) -> Removal<'static> {
    Removal {
        at: AT,
        run: "01RUN".into(),
        trigger: Trigger::Manual,
        asked_by: Some("ops".into()),
        policy: "renders".into(),
        action: Action::Removed,
        path: Some(path.as_bytes().to_owned().into()),
        count: 1,
        bytes: 4096,
        inode: Some(7),
        reason: Some(Reason::Words("last modified 3h ago, older than max_age 30m".into())),
    }
}

fn all(state: &Path) -> Vec<Removal<'static>> {
    ask(state, |query| query).removals
}

fn ask<'a>(state: &Path, change: impl FnOnce(RemovalsQuery<'a>) -> RemovalsQuery<'a>) -> Page {
    let everything =
        RemovalsQuery { path: PathQuery::Any, policy: None, run: None, since: None, limit: usize::MAX, before: None };
    page(state, &change(everything)).unwrap()
}

fn exact(state: &Path, path: &str) -> Vec<Removal<'static>> {
    let paths = [path.as_bytes().to_owned()];
    ask(state, |query| RemovalsQuery { path: PathQuery::Exact { paths: &paths, above: &[] }, ..query }).removals
}

fn names(removals: &[Removal<'_>]) -> Vec<String> {
    let name =
        |removal: &Removal<'_>| String::from_utf8_lossy(removal.path.as_deref().unwrap_or_default()).into_owned();
    removals.iter().map(name).collect()
}

fn files(state: &Path) -> Vec<String> {
    let names = fs::read_dir(folder_of(state)).into_iter().flatten();
    let names: BTreeSet<String> = names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.into_iter().collect()
}

fn write(state: &Path, removals: &[Removal<'_>]) {
    let log = RemovalLog::new(state);
    for removal in removals {
        log.add(removal);
    }
    log.flush();
    assert_eq!(log.take_failure(), None);
}

#[test]
fn what_was_written_is_read_the_newest_first() {
    let folder = folder::for_tests();
    let state = folder.path();
    assert_eq!(ask(state, |query| query), Page::default(), "no log");
    let rows = Removal {
        path: None,
        count: 37,
        policy: "sessions".into(),
        run: "01ROWS".into(),
        trigger: Trigger::Schedule,
        asked_by: None,
        inode: None,
        reason: None,
        ..removal("")
    };
    let odd = Removal {
        at: Moment::from_unix(-5, 1),
        path: Some(vec![b'/', 0xff, b'\n', b'/', b'x'].into()),
        action: Action::QuarantinedWhole,
        bytes: u64::MAX,
        inode: Some(u64::MAX),
        ..removal("")
    };
    let rows = [rows];
    let written = [removal("/srv/a.svg"), rows[0].clone(), removal("/srv/b.svg"), odd.clone(), removal("/other/a.svg")];
    write(state, &written);
    let mut expected = written.to_vec();
    expected.reverse();
    assert_eq!(all(state), expected);
    assert_eq!(exact(state, "/srv/b.svg"), [removal("/srv/b.svg")]);
    assert_eq!(exact(state, "/srv/c.svg"), []);
    assert_eq!(ask(state, |query| RemovalsQuery { run: Some("01ROWS"), ..query }).removals, rows);
    assert_eq!(ask(state, |query| RemovalsQuery { policy: Some("sessions"), ..query }).removals, rows);
    let after = Moment::from_unix(0, 0);
    assert_eq!(ask(state, |query| RemovalsQuery { since: Some(after), ..query }).removals.len(), 4);
    let svg = |path: &[u8]| path.ends_with(b"a.svg");
    let matching = ask(state, |query| RemovalsQuery { path: PathQuery::Matching(&svg), ..query }).removals;
    assert_eq!(names(&matching), ["/other/a.svg", "/srv/a.svg"]);
}

#[test]
fn a_folder_that_went_whole_is_found_by_what_was_in_it() {
    let folder = folder::for_tests();
    let state = folder.path();
    let whole = Removal { action: Action::RemovedWhole, ..removal("/srv/job-7") };
    write(state, &[whole.clone(), removal("/srv")]);
    let (paths, above) = ([b"/srv/job-7/out/x.step".to_vec()], [b"/srv/job-7".to_vec(), b"/srv".to_vec()]);
    let path = PathQuery::Exact { paths: &paths, above: &above };
    assert_eq!(ask(state, |query| RemovalsQuery { path, ..query }).removals, [whole]);
}

#[test]
fn pages_follow_each_other_also_when_the_log_is_sealed_between_them() {
    let folder = folder::for_tests();
    let state = folder.path();
    for part in 0..4 {
        let some: Vec<_> = (0..10).map(|number| removal(&format!("/srv/{}", part * 10 + number))).collect();
        write(state, &some);
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = ask(state, |query| RemovalsQuery { limit: 7, before, ..query });
        seen.extend(page.removals);
        if seen.len() == 14 {
            seal_all(state);
            assert_eq!(files(state), ["00000001.seg"]);
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..40).rev().map(|number| format!("/srv/{number}")).collect();
    assert_eq!(names(&seen), expected);
}

/// As if nobody had written to any log for a day.
fn seal_all(state: &Path) {
    let day = Duration::from_hours(25);
    let later = Moment::from_unix(i64::try_from(now_seconds()).unwrap(), 0).plus(day);
    forget(state, Duration::from_hours(24 * 365 * 100), u64::MAX, later).unwrap();
}

fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_full_log_is_sealed_and_its_paths_and_runs_are_found_by_the_index() {
    let folder = folder::for_tests();
    let state = folder.path();
    let log = RemovalLog::new(state);
    let many = MOST_RECORDS + 10_000;
    for number in 0..many {
        let run = format!("01RUN{}", number / 50_000);
        log.add(&Removal { run: run.into(), ..removal(&format!("/srv/{}/{number}.svg", number / 1000)) });
    }
    log.flush();
    assert_eq!(files(state), ["00000001.seg", "00000002.log"]);
    for number in (0..many).step_by(997) {
        assert_eq!(exact(state, &format!("/srv/{}/{number}.svg", number / 1000)).len(), 1, "{number}");
        assert_eq!(exact(state, &format!("/srv/x/{number}.svg")).len(), 0, "{number}");
    }
    let of_run = |run: &str| ask(state, |query| RemovalsQuery { run: Some(run), ..query }).removals.len();
    assert_eq!([of_run("01RUN0"), of_run("01RUN1"), of_run("01RUN2")], [50_000, 50_000, 41_072]);
    assert_eq!(all(state).len() as u64, many);
}

#[test]
fn a_log_is_continued_and_an_old_one_is_sealed() {
    let folder = folder::for_tests();
    let state = folder.path();
    write(state, &[removal("/srv/a")]);
    write(state, &[removal("/srv/b")]);
    assert_eq!(files(state), ["00000001.log"]);
    write(state, &[Removal { at: AT.plus(Duration::from_hours(24)), ..removal("/srv/c") }]);
    assert_eq!(files(state), ["00000001.seg"]);
    write(state, &[removal("/srv/d")]);
    assert_eq!(files(state), ["00000001.seg", "00000002.log"]);
    assert_eq!(names(&all(state)), ["/srv/d", "/srv/c", "/srv/b", "/srv/a"]);
}

#[test]
fn two_that_write_at_the_same_time_have_a_log_each() {
    let folder = folder::for_tests();
    let state = folder.path();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let start = &start;
            scope.spawn(move || {
                let log = RemovalLog::new(state);
                start.wait();
                for number in 0..3000 {
                    log.add(&removal(&format!("/srv/{writer}/{number}")));
                    if number % 500 == 0 {
                        log.flush();
                    }
                }
                log.flush();
                assert_eq!(log.take_failure(), None);
            });
        }
    });
    let found: BTreeSet<String> = names(&all(state)).into_iter().collect();
    assert_eq!((all(state).len(), found.len()), (12_000, 12_000));
    assert!(files(state).len() <= 4, "{:?}", files(state));
}

#[test]
fn a_log_that_was_cut_off_loses_its_last_frame_alone_and_another_one_is_begun() {
    let folder = folder::for_tests();
    let path = folder_of(folder.path()).join("00000001.log");
    write(folder.path(), &[removal("/srv/a")]);
    let one = fs::metadata(&path).unwrap().len();
    write(folder.path(), &[removal("/srv/b")]);
    let bytes = fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        let folder = folder::for_tests();
        let state = folder.path();
        fs::create_dir(folder_of(state)).unwrap();
        fs::write(folder_of(state).join("00000001.log"), &bytes[..len]).unwrap();
        let left: &[&str] = if (len as u64) < one { &[] } else { &["/srv/a"] };
        assert_eq!(names(&all(state)), left, "{len}");
        write(state, &[removal("/srv/c")]);
        let all = names(&all(state));
        assert_eq!(all, [&["/srv/c"], left].concat(), "{len}: {:?}", files(state));
    }
}

#[test]
fn a_process_that_was_killed_while_it_sealed_leaves_each_entry_once() {
    let folder = folder::for_tests();
    let state = folder.path();
    write(state, &[removal("/srv/a"), removal("/srv/b")]);
    let log = fs::read(folder_of(state).join("00000001.log")).unwrap();
    seal_all(state);
    fs::write(folder_of(state).join("00000001.log"), &log).unwrap();
    fs::write(folder_of(state).join("00000002.new"), b"half").unwrap();
    assert_eq!(names(&all(state)), ["/srv/b", "/srv/a"]);
    write(state, &[removal("/srv/c")]);
    assert_eq!(names(&all(state)), ["/srv/c", "/srv/b", "/srv/a"]);
}

#[test]
fn what_is_too_old_or_too_much_is_forgotten_and_what_is_written_to_is_not() {
    let folder = folder::for_tests();
    let state = folder.path();
    let day = Duration::from_hours(24);
    for number in 0..5_u32 {
        write(state, &[Removal { at: AT.plus(day * number), ..removal(&format!("/srv/{number}")) }]);
        seal_all(state);
    }
    forget(state, day * 2, u64::MAX, AT.plus(day * 4)).unwrap();
    assert_eq!(names(&all(state)), ["/srv/4", "/srv/3", "/srv/2"]);

    let log = RemovalLog::new(state);
    log.add(&removal("/srv/5"));
    log.flush();
    forget(state, day * 1000, 0, AT).unwrap();
    assert_eq!(names(&all(state)), ["/srv/5"], "somebody writes to it");
    drop(log);
    forget(state, day * 1000, 0, AT).unwrap();
    assert_eq!(names(&all(state)), [""; 0]);
}

#[test]
fn entries_wait_for_a_tenth_of_a_second_at_most() {
    let folder = folder::for_tests();
    let state = folder.path();
    let log = RemovalLog::new(state);
    log.add(&removal("/srv/a"));
    log.tick(AT.plus(Duration::from_millis(99)));
    assert_eq!(names(&all(state)), [""; 0]);
    log.tick(AT.plus(Duration::from_millis(100)));
    assert_eq!(names(&all(state)), ["/srv/a"]);
    log.add(&removal("/srv/b"));
    log.add(&Removal { at: AT.plus(Duration::from_millis(100)), ..removal("/srv/c") });
    assert_eq!(names(&all(state)), ["/srv/c", "/srv/b", "/srv/a"]);
    log.add(&removal("/srv/d"));
    // The clock was set back.
    log.tick(AT.minus(Duration::from_hours(1)));
    assert_eq!(all(state).len(), 4);
}

#[test]
fn a_folder_that_was_emptied_is_begun_anew() {
    let folder = folder::for_tests();
    let state = folder.path();
    let log = RemovalLog::new(state);
    log.add(&removal("/srv/a"));
    log.flush();
    fs::remove_dir_all(folder_of(state)).unwrap();
    log.add(&removal("/srv/b"));
    log.flush();
    assert_eq!(log.take_failure(), None);
    assert_eq!(names(&all(state)), ["/srv/b"]);
}

#[test]
fn what_cannot_be_written_is_said_once_and_what_follows_is_written() {
    let folder = folder::for_tests();
    let state = folder.path();
    fs::write(folder_of(state), b"").unwrap();
    let log = RemovalLog::new(state);
    log.add(&removal("/srv/a"));
    log.flush();
    let failure = log.take_failure().unwrap();
    assert!(failure.contains("lacks entries: "), "{failure}");
    assert_eq!(log.take_failure(), None);
    fs::remove_file(folder_of(state)).unwrap();
    log.add(&removal("/srv/b"));
    log.flush();
    assert_eq!((log.take_failure(), names(&all(state))), (None, vec!["/srv/b".to_owned()]));
    let name = "x".repeat(70_000);
    log.add(&removal(&format!("/srv/{name}")));
    assert!(log.take_failure().is_some());
}

#[test]
fn no_link_is_followed_and_no_strange_file_is_written_to() {
    let folder = folder::for_tests();
    let state = folder.path();
    fs::create_dir(folder_of(state)).unwrap();
    let target = state.join("target");
    fs::write(&target, b"").unwrap();
    std::os::unix::fs::symlink(&target, folder_of(state).join("00000007.log")).unwrap();
    fs::create_dir(folder_of(state).join("00000008.log")).unwrap();
    fs::write(folder_of(state).join("1.log"), b"").unwrap();
    write(state, &[removal("/srv/a")]);
    assert_eq!(fs::read(&target).unwrap(), b"");
    assert_eq!(names(&all(state)), ["/srv/a"]);
    assert!(files(state).contains(&"00000009.log".to_owned()), "{:?}", files(state));
}

/// Bytes that are not as they were written: nothing is read that nobody wrote.
mod damage {
    use super::*;

    /// A log of several frames, large ones and small ones, with each path once.
    fn written() -> (Vec<u8>, BTreeMap<String, Removal<'static>>) {
        let mut log = Vec::new();
        let mut removals = BTreeMap::new();
        let mut number = 0;
        for count in [3, 1, 400, 2, 300, 1] {
            let mut entries = Encoder::default();
            for _ in 0..count {
                number += 1;
                let path = format!("/srv/{}/{number}.svg", number / 7);
                let removal =
                    Removal { reason: Some(Reason::Words(format!("because of {number}").into())), ..removal(&path) };
                entries.add(&removal);
                removals.insert(path, removal);
            }
            let (entries, count) = entries.take();
            log.extend_from_slice(&frame::encode(&entries, count));
        }
        (log, removals)
    }

    fn state_with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
        let folder = folder::for_tests();
        fs::create_dir(folder_of(folder.path())).unwrap();
        fs::write(folder_of(folder.path()).join(name), bytes).unwrap();
        folder
    }

    proptest! {
        // Each case seals a segment and asks for many paths.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_is_read_that_nobody_wrote(
            is_sealed in any::<bool>(),
            blows in prop::collection::vec(any::<Blow>(), 0..4),
        ) {
            let (log, removals) = written();
            let bytes = if is_sealed { segment::seal(&log).unwrap() } else { log };
            let name = if is_sealed { "00000001.seg" } else { "00000001.log" };
            let folder = state_with(name, &damaged(&bytes, &blows));
            let state = folder.path();
            let found: BTreeSet<String> = all(state)
                .into_iter()
                .map(|found| {
                    let path = names(std::slice::from_ref(&found)).remove(0);
                    assert_eq!(Some(&found), removals.get(&path));
                    path
                })
                .collect();
            if blows.is_empty() {
                prop_assert_eq!(found.len(), removals.len());
            }
            // What is there is found by its path too.
            for path in removals.keys().step_by(17) {
                prop_assert_eq!(exact(state, path).len(), usize::from(found.contains(path)), "{}", path);
            }
        }

        #[test]
        fn no_entries_with_a_right_checksum_are_too_strange_to_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            blows in prop::collection::vec(any::<Blow>(), 1..4),
        ) {
            let mut entries = Encoder::default();
            (0..30).for_each(|number| entries.add(&removal(&format!("/srv/{number}"))));
            let (entries, _) = entries.take();
            for entries in [bytes, damaged(&entries, &blows)] {
                let frame = frame::encode(&entries, 30);
                all(state_with("00000001.log", &frame).path());
                let _ = segment::seal(&frame);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(
            removals in prop::collection::vec(any_removal(), 0..40),
        ) {
            let mut entries = Encoder::default();
            for removal in &removals {
                entries.add(removal);
            }
            let (bytes, count) = entries.take();
            let mut read = Vec::new();
            prop_assert!(record::decode(&bytes, &mut |removal| read.push(removal)).is_some());
            prop_assert_eq!(count as usize, removals.len());
            prop_assert_eq!(read, removals);
        }
    }

    fn any_removal() -> impl Strategy<Value = Removal<'static>> {
        let named = (prop::collection::vec(any::<u8>(), 0..20), "[ -~]{0,20}", any::<bool>());
        let numbers = (any::<i64>(), any::<u64>(), any::<u64>(), any::<u64>(), 0..6_u8, 0..6_usize);
        (named, numbers, "[a-c]{1,2}", prop::option::of("[a-z]{1,3}")).prop_map(
            |((path, reason, has_path), (at, count, bytes, inode, action, trigger), name, asked_by)| {
                let triggers = [
                    Trigger::Manual,
                    Trigger::Schedule,
                    Trigger::Pressure,
                    Trigger::Deadline,
                    Trigger::Restore,
                    Trigger::Reload,
                ];
                Removal {
                    at: Moment::from_unix(at.div_euclid(1_000_000_000), 0),
                    run: name.clone().into(),
                    trigger: triggers[trigger],
                    asked_by: asked_by.map(Into::into),
                    policy: name.into(),
                    action: Action::of(action).unwrap(),
                    path: has_path.then(|| [b"/".as_slice(), &path].concat().into()),
                    count: if has_path { 1 } else { count },
                    bytes,
                    inode: Some(inode).filter(|inode| *inode != 0),
                    reason: Some(reason).filter(|reason| !reason.is_empty()).map(|reason| Reason::Words(reason.into())),
                }
            },
        )
    }
}
