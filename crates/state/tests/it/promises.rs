//! Promises: none is lost in silence, whatever happens to the file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use cleanup_core::moment::Moment;
use cleanup_state::{PromisesError, State};

use crate::child::{self, STRANGER};
use crate::common::{at, fast_folder, folder, record};

fn held(state: &mut State, now: Moment) -> Vec<String> {
    let promises = state.promises().unwrap();
    promises.holds(now).map(|hold| String::from_utf8_lossy(&hold.path).into_owned()).collect()
}

/// The holds of a folder that is opened anew.
fn held_in(folder: &Path) -> Result<Vec<String>, PromisesError> {
    let mut state = State::open(folder, None).unwrap();
    let promises = state.promises()?;
    Ok(promises.holds(at(0)).map(|hold| String::from_utf8_lossy(&hold.path).into_owned()).collect())
}

#[test]
fn a_hold_lasts_until_its_moment_and_no_longer() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold(b"/b", at(100), at(0)).unwrap();
    promises.hold_because(b"/a", at(50), Some("for the \"audit\"\n"), at(1)).unwrap();
    promises.hold(b"/bytes-\xff\n\x00".strip_suffix(b"\0").unwrap(), at(100), at(2)).unwrap();
    drop(state);

    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(held(&mut state, at(49)), ["/a", "/b", "/bytes-\u{fffd}\n"]);
    assert_eq!(held(&mut state, at(50)), ["/b", "/bytes-\u{fffd}\n"]);
    let hold = state.promises().unwrap().holds(at(0)).next().unwrap().clone();
    assert_eq!((hold.until, hold.made_at), (at(50), at(1)));
    assert_eq!(hold.reason.as_deref(), Some("for the \"audit\"\n"));
    assert_eq!(state.promises().unwrap().holds(at(0)).last().unwrap().path, b"/bytes-\xff\n");
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn a_later_hold_replaces_and_a_release_ends() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold(b"/a", at(100), at(0)).unwrap();
    promises.hold(b"/a", at(10), at(0)).unwrap();
    assert_eq!(promises.holds(at(10)).count(), 0);
    assert!(!promises.release(b"/a", at(10)).unwrap(), "it has expired");
    assert!(promises.release(b"/a", at(9)).unwrap());
    assert!(!promises.release(b"/a", at(9)).unwrap());
    assert!(!promises.release(b"/never", at(9)).unwrap());
    assert_eq!(held_in(&folder).unwrap(), [""; 0]);
}

#[test]
fn only_absolute_paths_are_held() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for path in [b"".as_slice(), b"a", b"./a", b"/a\0b"] {
        let refused = state.promises().unwrap().hold(path, at(9), at(0));
        assert!(matches!(refused, Err(PromisesError::NotAbsolute { .. })));
    }
    assert!(!folder.join("promises.jsonl").exists());
}

/// Three lines, of which the last holds `/last`.
fn three_lines() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let (parent, folder) = fast_folder();
    let mut state = State::open(&folder, None).unwrap();
    for path in ["/first", "/inner with spaces", "/last one"] {
        state.promises().unwrap().hold_because(path.as_bytes(), at(100), Some("a reason"), at(0)).unwrap();
    }
    let bytes = fs::read(folder.join("promises.jsonl")).unwrap();
    (parent, folder, bytes)
}

fn start_of_last_line(bytes: &[u8]) -> usize {
    bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn a_last_line_torn_at_any_byte_is_repaired_and_reported() {
    let (_parent, folder, bytes) = three_lines();
    let file = folder.join("promises.jsonl");
    let start = start_of_last_line(&bytes);
    let guard = fs::read(folder.join("locks/promises.jsonl")).unwrap();
    for length in start + 1..bytes.len() {
        fs::write(&file, &bytes[..length]).unwrap();
        fs::write(folder.join("locks/promises.jsonl"), &guard).unwrap();
        let mut looking = State::look(&folder, None).unwrap();
        let seen = held(&mut looking, at(0));
        assert!(!looking.take_notes().is_empty());
        assert_eq!(fs::read(&file).unwrap(), &bytes[..length], "a look repairs nothing");

        let mut state = State::open(&folder, None).unwrap();
        assert_eq!(held(&mut state, at(0)), seen);
        let notes = state.take_notes();
        // All of it but the newline is the promise; it is kept, though it was never given. Otherwise the guard knows
        // of a third promise, which this test has given and torn afterwards.
        let whole = length == bytes.len() - 1;
        assert!(notes.len() == if whole { 1 } else { 2 } && notes[0].contains("line 3"), "{length}: {notes:?}");
        assert_eq!(seen.len(), if whole { 3 } else { 2 }, "{length}");
        assert_eq!(fs::read(&file).unwrap(), if whole { &bytes } else { &bytes[..start] });

        // The next promise is not glued to the torn one.
        state.promises().unwrap().hold(b"/next", at(100), at(0)).unwrap();
        assert_eq!(held_in(&folder).unwrap().len(), seen.len() + 1);
    }
}

#[test]
fn a_last_line_whose_first_page_never_arrived_is_torn_too() {
    let (_parent, folder, bytes) = three_lines();
    let start = start_of_last_line(&bytes);
    for (zeros, rest) in [(1, true), (10, true), (bytes.len() - start - 1, true), (bytes.len() - start, false)] {
        let mut torn = bytes.clone();
        torn[start..start + zeros].fill(0);
        assert_eq!(torn.ends_with(b"\n"), rest);
        fs::write(folder.join("promises.jsonl"), &torn).unwrap();
        assert_eq!(held_in(&folder).unwrap(), ["/first", "/inner with spaces"]);
    }
}

#[test]
fn a_flip_of_any_bit_loses_no_promise_in_silence() {
    let (_parent, folder, bytes) = three_lines();
    let file = folder.join("promises.jsonl");
    for offset in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[offset] ^= 1 << bit;
            fs::write(&file, &flipped).unwrap();
            match held_in(&folder) {
                // The very last newline, which is only put back.
                Ok(held) => assert_eq!((held.len(), offset), (3, bytes.len() - 1)),
                Err(PromisesError::Damaged { line, .. } | PromisesError::Newer { line, .. }) => {
                    assert!((1..=3).contains(&line), "{offset}");
                    assert_eq!(fs::read(&file).unwrap(), flipped, "what cannot be trusted is not touched");
                }
                Err(error) => panic!("{offset}: {error}"),
            }
        }
    }
}

#[test]
fn an_untrusted_file_stays_so_until_somebody_settles_it() {
    let (_parent, folder, bytes) = three_lines();
    let file = folder.join("promises.jsonl");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&file, &flipped).unwrap();
    let mut state = State::open(&folder, None).unwrap();
    let error = state.promises().unwrap_err().to_string();
    assert!(error.contains("promises.jsonl, line 2: the checksum does not match"), "{error}");
    assert!(error.contains("remove that line"), "{error}");
    assert!(state.promises().is_err());
    record(&mut state, "1", 0);
    // The way out that the message names.
    let lines: Vec<_> = flipped.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&file, [lines[0], lines[2]].concat()).unwrap();
    assert_eq!(held(&mut state, at(0)), ["/first", "/last one"]);
    // The hold of that line is lost, and nothing may be deleted until somebody has said so.
    assert!(state.promises().unwrap().lost().is_some());
    state.promises().unwrap().hold(b"/inner with spaces", at(100), at(0)).unwrap();
    assert!(state.promises().unwrap().lost().is_some(), "which hold it was is known to nobody but its maker");
    state.promises().unwrap().accept_loss().unwrap();
    assert!(lost_in(&folder).is_none());
    assert_eq!(held_in(&folder).unwrap(), ["/first", "/inner with spaces", "/last one"]);
}

#[test]
fn a_newer_format_is_not_guessed_at() {
    let (_parent, folder, bytes) = three_lines();
    let mut newer = bytes.clone();
    newer.extend_from_slice(b"{\"v\":2,\"sha256\":\"00\",\"do\":\"hold\",\"path\":\"/new\"}\n");
    fs::write(folder.join("promises.jsonl"), &newer).unwrap();
    assert!(matches!(held_in(&folder), Err(PromisesError::Newer { line: 4, .. })));
    assert_eq!(fs::read(folder.join("promises.jsonl")).unwrap(), newer);
}

#[test]
fn a_file_that_a_stranger_could_have_written_is_not_believed() {
    let (parent, folder, _) = three_lines();
    let file = folder.join("promises.jsonl");
    fs::set_permissions(&file, Permissions::from_mode(0o602)).unwrap();
    assert!(matches!(held_in(&folder), Err(PromisesError::Untrusted { .. })));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(held_in(&folder).is_ok());
    if rustix::process::geteuid().is_root() {
        chown(&file, Some(STRANGER), None).unwrap();
        assert!(matches!(held_in(&folder), Err(PromisesError::Untrusted { .. })));
    } else {
        eprintln!("NOT TESTED: promises of another user (only root can give a file away)");
    }
    fs::remove_file(&file).unwrap();
    symlink(parent.path().join("elsewhere"), &file).unwrap();
    assert!(matches!(held_in(&folder), Err(PromisesError::Untrusted { .. })));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(held_in(&folder), Err(PromisesError::Untrusted { .. })));
}

/// What a folder that is opened anew says of lost promises.
fn lost_in(folder: &Path) -> Option<String> {
    let mut state = State::open(folder, None).unwrap();
    state.promises().unwrap().lost().map(ToString::to_string)
}

#[test]
fn lost_promises_are_known_until_the_loss_is_accepted() {
    let (_parent, folder, bytes) = three_lines();
    let file = folder.join("promises.jsonl");
    let guard = fs::read(folder.join("locks/promises.jsonl")).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let (without_first, without_middle, shortened) =
        ([lines[1], lines[2]].concat(), [lines[0], lines[2]].concat(), [lines[0], lines[1]].concat());
    for left in [None, Some(&b""[..]), Some(&without_first), Some(&without_middle), Some(&shortened)] {
        fs::write(folder.join("locks/promises.jsonl"), &guard).unwrap();
        let before = match left {
            None => {
                fs::remove_file(&file).unwrap();
                0
            }
            Some(left) => {
                fs::write(&file, left).unwrap();
                left.split_inclusive(|byte| *byte == b'\n').count()
            }
        };
        let mut looking = State::look(&folder, None).unwrap();
        assert_eq!(held(&mut looking, at(0)).len(), before);
        assert!(looking.promises().unwrap().lost().is_some(), "a look knows it too");
        let notes = looking.take_notes();
        assert!(notes.len() == 1 && notes[0].contains("3 when last written"), "{notes:?}");
        assert!(looking.promises().unwrap().accept_loss().is_err(), "whoever only looks accepts nothing");

        for _ in 0..2 {
            let lost = lost_in(&folder).unwrap();
            assert!(lost.contains("--force") && lost.contains("nothing is deleted"), "{lost}");
        }
        // A promise that is made meanwhile is kept, and makes up for nothing.
        let mut state = State::open(&folder, None).unwrap();
        state.promises().unwrap().hold(b"/new", at(100), at(0)).unwrap();
        assert!(state.promises().unwrap().lost().is_some() && lost_in(&folder).is_some());
        // Nor does it look complete again because it was rewritten.
        for round in 0..40 {
            state.promises().unwrap().hold(b"/new", at(100 + round), at(0)).unwrap();
        }
        assert!(lost_in(&folder).is_some());

        state.promises().unwrap().accept_loss().unwrap();
        assert!(state.promises().unwrap().lost().is_none() && lost_in(&folder).is_none());
        assert_eq!(held_in(&folder).unwrap().len(), before + 1);
        state.promises().unwrap().hold(b"/after", at(100), at(0)).unwrap();
        assert!(lost_in(&folder).is_none());
    }
}

#[test]
fn a_loss_stays_known_when_little_is_promised_by_now_and_the_file_is_lost_again() {
    let (_parent, folder, bytes) = three_lines();
    let file = folder.join("promises.jsonl");
    for again in [None, Some(&bytes[..=bytes.iter().position(|byte| *byte == b'\n').unwrap()])] {
        fs::remove_file(&file).unwrap();
        let mut state = State::open(&folder, None).unwrap();
        state.promises().unwrap().hold(b"/new", at(100), at(0)).unwrap();
        assert!(state.promises().unwrap().release(b"/new", at(0)).unwrap());
        match again {
            None => fs::remove_file(&file).unwrap(),
            Some(backup) => fs::write(&file, backup).unwrap(),
        }
        let lost = lost_in(&folder).unwrap();
        assert!(lost.contains("3 when last written") || lost.contains("and 3 when last written"), "{lost}");
        fs::write(&file, "").unwrap();
    }
}

#[test]
fn a_loss_ends_with_the_folder_that_knew_of_it_for_whoever_keeps_it_open_too() {
    let (_parent, folder, _) = three_lines();
    let mut kept_open = State::open(&folder, None).unwrap();
    fs::remove_file(folder.join("promises.jsonl")).unwrap();
    for _ in 0..2 {
        assert!(kept_open.promises().unwrap().lost().is_some());
    }
    assert_eq!(kept_open.take_notes().len(), 1, "said once");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(lost_in(&folder), None, "a new memory begins");
    kept_open.promises().unwrap().hold(b"/a", at(100), at(0)).unwrap();
    assert_eq!((lost_in(&folder), held_in(&folder).unwrap().len()), (None, 1));
}

#[test]
fn where_nothing_was_promised_nothing_is_lost() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold(b"/a", at(100), at(0)).unwrap();
    assert!(promises.release(b"/a", at(0)).unwrap());
    fs::remove_file(folder.join("promises.jsonl")).unwrap();
    assert_eq!(lost_in(&folder), None);
    state.promises().unwrap().hold(b"/b", at(100), at(0)).unwrap();
    assert_eq!(lost_in(&folder), None);
    // The guard is a help: without it the file is believed as far as it goes.
    fs::remove_file(folder.join("locks/promises.jsonl")).unwrap();
    assert_eq!((lost_in(&folder), held_in(&folder).unwrap().len()), (None, 1));
}

#[test]
fn a_guard_that_says_nothing_intelligible_is_not_taken_for_one_that_says_nothing_was_promised() {
    let (_parent, folder, _) = three_lines();
    let guard = folder.join("locks/promises.jsonl");
    fs::remove_file(folder.join("promises.jsonl")).unwrap();
    for garbage in [&b"three"[..], b"3 x", b"\xff\xfe", b"-1 4"] {
        fs::write(&guard, garbage).unwrap();
        assert!(matches!(held_in(&folder), Err(PromisesError::Damaged { file, .. }) if file == guard), "{garbage:?}");
    }
    // As it is before the first promise, and as a crash may leave it then.
    for nothing in [&b""[..], b"\n", &[0; 42]] {
        fs::write(&guard, nothing).unwrap();
        assert_eq!((lost_in(&folder), held_in(&folder).unwrap().len()), (None, 0), "{nothing:?}");
    }
}

#[test]
fn a_kill_between_a_promise_and_what_is_remembered_of_it_is_no_loss_and_hides_none() {
    let (_parent, folder, bytes) = three_lines();
    let (file, guard) = (folder.join("promises.jsonl"), folder.join("locks/promises.jsonl"));
    let before = fs::read(&guard).unwrap();
    // A release, a hold and the end of a hold: written, and not yet remembered.
    for release in [true, false] {
        fs::write(&file, &bytes).unwrap();
        let mut state = State::open(&folder, None).unwrap();
        if release {
            assert!(state.promises().unwrap().release(b"/first", at(0)).unwrap());
        } else {
            state.promises().unwrap().hold(b"/fourth", at(100), at(0)).unwrap();
        }
        let after = fs::read(&file).unwrap();
        fs::write(&guard, &before).unwrap();
        assert_eq!(lost_in(&folder), None, "release: {release}");
        // The guard was not written after it, so whoever waited for the promise was told nothing.
        fs::write(&file, &bytes).unwrap();
        assert_eq!(lost_in(&folder), None, "release: {release}");
        fs::write(&file, &after[..start_of_last_line(&bytes)]).unwrap();
        assert!(lost_in(&folder).is_some(), "release: {release}");
        fs::write(&guard, &before).unwrap();
    }
}

/// As the first version wrote it, with the guard's count: lines had no numbers.
const UNNUMBERED: &str = r#"{"v":1,"crc32":"8ed1e91e","do":"hold","path":"/srv/a","until":"2200-01-01T00:00:00.000Z","at":"2026-01-01T00:00:00.000Z"}
{"v":1,"crc32":"657ba1a3","do":"hold","path":"/srv/b","until":"2200-01-01T00:00:00.000Z","at":"2026-01-01T00:00:00.000Z"}
"#;

#[test]
fn a_file_of_the_first_version_is_read_and_gone_on_with() {
    let (_parent, folder) = folder();
    let (file, guard) = (folder.join("promises.jsonl"), folder.join("locks/promises.jsonl"));
    drop(State::open(&folder, None).unwrap());
    fs::write(&file, UNNUMBERED).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::write(&guard, "2\n").unwrap();
    assert_eq!((held_in(&folder).unwrap().len(), lost_in(&folder)), (2, None));
    fs::write(&guard, "3\n").unwrap();
    assert!(lost_in(&folder).is_some(), "as the first version counted");
    fs::write(&guard, "2\n").unwrap();
    let mut state = State::open(&folder, None).unwrap();
    state.promises().unwrap().hold(b"/new", at(100), at(0)).unwrap();
    assert_eq!((held_in(&folder).unwrap().len(), lost_in(&folder)), (3, None));
    let all = fs::read_to_string(&file).unwrap();
    fs::write(&file, &all[all.find('\n').unwrap() + 1..]).unwrap();
    assert!(lost_in(&folder).is_some(), "a line of the first version is missed too");
}

#[test]
fn dead_lines_go_when_they_are_the_most() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let lines = || fs::read_to_string(folder.join("promises.jsonl")).unwrap().lines().count();
    let promises = state.promises().unwrap();
    promises.hold_because(b"/kept", at(100), Some("why"), at(0)).unwrap();
    let mut most = 0;
    for round in 0..100 {
        promises.hold(b"/a", at(100 + round), at(0)).unwrap();
        most = most.max(lines());
    }
    assert!(most <= 16, "{most}");
    assert_eq!(held_in(&folder).unwrap(), ["/a", "/kept"]);
    let promises = state.promises().unwrap();
    assert_eq!(promises.holds(at(0)).last().unwrap().reason.as_deref(), Some("why"));
    assert_eq!(promises.holds(at(198)).count(), 1);
}

#[test]
fn expired_holds_go_under_a_trusted_clock_alone() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    for number in 0..20 {
        state.promises().unwrap().hold(format!("/{number}").as_bytes(), at(100), at(0)).unwrap();
    }
    let lines = || fs::read_to_string(folder.join("promises.jsonl")).unwrap().lines().count();
    // A clock that jumped ahead: everything seems to have expired, and is there when it is right again.
    let report = crate::common::report("1", 1000);
    state.record_run(&report, &crate::common::reading(1000), false, crate::common::MONTH, at(1000));
    state.promises().unwrap().hold(b"/new", at(2000), at(1000)).unwrap();
    assert_eq!((lines(), held(&mut state, at(1000)).len(), held(&mut state, at(0)).len()), (21, 1, 21));
    record(&mut state, "2", 1000);
    assert_eq!((lines(), held(&mut state, at(0)).len()), (2, 1), "the line, and the checkpoint that counts it");
    assert_eq!(held_in(&folder).unwrap(), ["/new"]);
}

#[test]
fn a_crash_while_compacting_leaves_the_old_file() {
    let (_parent, folder, bytes) = three_lines();
    // Whatever the crash left beside it: nothing, half of it, another's link.
    for leftover in [b"".as_slice(), &bytes[..40], b"\0\0\0\0"] {
        fs::write(folder.join("promises.jsonl.new"), leftover).unwrap();
        assert_eq!(held_in(&folder).unwrap().len(), 3);
    }
    let mut state = State::open(&folder, None).unwrap();
    for round in 0..20 {
        state.promises().unwrap().hold(b"/again", at(100 + round), at(0)).unwrap();
    }
    assert_eq!(held_in(&folder).unwrap().len(), 4);
    assert!(!folder.join("promises.jsonl.new").exists());
}

#[test]
fn a_compaction_that_cannot_be_written_costs_nothing() {
    let (_parent, folder, _) = three_lines();
    fs::create_dir(folder.join("promises.jsonl.new")).unwrap();
    let mut state = State::open(&folder, None).unwrap();
    for round in 0..20 {
        state.promises().unwrap().hold(b"/again", at(100 + round), at(0)).unwrap();
    }
    assert!(state.take_notes().iter().all(|note| note.contains("could not be compacted")));
    assert_eq!(held_in(&folder).unwrap().len(), 4);
}

#[test]
fn promises_of_many_threads_and_processes_are_all_kept() {
    let (_parent, folder) = folder();
    drop(State::open(&folder, None).unwrap());
    let children: Vec<_> =
        (0..4).map(|n| child::command(&folder, &format!("hold process-{n}")).spawn().unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let folder = &folder;
            scope.spawn(move || {
                let mut state = State::open(folder, None).unwrap();
                for number in 0..20 {
                    let path = format!("/thread-{thread}/{number}");
                    state.promises().unwrap().hold(path.as_bytes(), at(100), at(0)).unwrap();
                    // Released and held again: the file is compacted under the others' hands.
                    assert!(state.promises().unwrap().release(path.as_bytes(), at(0)).unwrap());
                    state.promises().unwrap().hold(path.as_bytes(), at(100), at(0)).unwrap();
                }
            });
        }
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(held(&mut state, at(0)).len(), 160);
    assert_eq!(state.take_notes(), [""; 0]);
}

#[test]
fn what_another_process_promised_is_seen_at_the_next_call() {
    let (_parent, folder) = folder();
    let mut one = State::open(&folder, None).unwrap();
    let mut other = State::open(&folder, None).unwrap();
    assert_eq!(held(&mut other, at(0)), [""; 0]);
    one.promises().unwrap().hold(b"/a", at(9), at(0)).unwrap();
    assert_eq!(held(&mut other, at(0)), ["/a"]);
    other.promises().unwrap().release(b"/a", at(0)).unwrap();
    assert_eq!(held(&mut one, at(0)), [""; 0]);
}

#[test]
fn times_of_files_are_promises_and_are_forgotten_with_them() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold(b"/srv/held", at(500), at(0)).unwrap();
    promises.give_ttl(b"/srv/a", at(100), at(0)).unwrap();
    promises.give_ttl(b"/srv/a", at(200), at(1)).unwrap();
    for number in 0..40 {
        promises.give_ttl(format!("/srv/b{number}").as_bytes(), at(100), at(0)).unwrap();
    }
    assert!(matches!(promises.give_ttl(b"srv/a", at(1), at(0)), Err(PromisesError::NotAbsolute { .. })));

    let mut again = State::open(&folder, None).unwrap();
    let promises = again.promises().unwrap();
    let first = promises.ttls().next().unwrap().clone();
    assert_eq!((first.until, first.made_at), (at(200), at(1)), "the later one counts");
    assert_eq!(promises.ttls().count(), 41);
    let gone: Vec<String> = (0..40).map(|number| format!("/srv/b{number}")).collect();
    let gone: Vec<&[u8]> = gone.iter().map(String::as_bytes).collect();
    promises.forget_ttls(&gone, at(2)).unwrap();
    promises.forget_ttls(&[b"/srv/unknown"], at(2)).unwrap();
    assert_eq!(promises.ttls().count(), 1);

    let mut last = State::open(&folder, None).unwrap();
    let promises = last.promises().unwrap();
    assert_eq!(promises.ttls().count(), 1);
    assert_eq!(promises.holds(at(3)).count(), 1, "holds and times do not touch each other");
    assert!(last.take_notes().is_empty());
}

#[test]
fn who_asked_for_a_hold_is_remembered_as_long_as_the_hold_itself() {
    let (_parent, folder) = fast_folder();
    let mut state = State::open(&folder, None).unwrap();
    let promises = state.promises().unwrap();
    promises.hold_by(b"/one", at(1000), Some("ops"), at(1)).unwrap();
    promises.hold_all(&[b"/two".to_vec()], at(1000), Some("deploy"), at(1)).unwrap();
    promises.hold_by(b"/three", at(1000), None, at(1)).unwrap();
    // Enough for the file to be written anew.
    for number in 0..200 {
        promises.hold(b"/other", at(500 + number), at(2)).unwrap();
    }
    drop(state);
    let mut state = State::look(&folder, None).unwrap();
    let held: Vec<_> =
        state.promises().unwrap().holds(at(3)).map(|hold| (hold.path.clone(), hold.by.clone())).collect();
    let by = |path: &str| held.iter().find(|(held, _)| held == path.as_bytes()).unwrap().1.as_deref();
    assert_eq!([by("/one"), by("/two"), by("/three"), by("/other")], [Some("ops"), Some("deploy"), None, None]);
}
