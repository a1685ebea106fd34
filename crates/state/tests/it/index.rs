//! The due index as a file: the whole one, the one before, or none.

use std::fs;
use std::path::Path;

use cleanup_core::index::Entry;
use cleanup_state::{About, FEWEST_INDEXED, State};

use crate::common::{at, fast_folder};
use crate::full::Small;

fn about(text: &str) -> About {
    About(text.to_owned())
}

fn entry(number: u32) -> Entry {
    let until = u32::try_from(at(1_000).unix_seconds()).unwrap();
    // Spread out, as hashes are.
    Entry { key: u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), until, blocks: number }
}

/// Keeps an index of so many files.
fn keep(state: &State, policy: &str, count: u32) -> std::io::Result<()> {
    let mut writer = state.begin_index(policy, &about("this"), at(0)).unwrap();
    (0..count).try_for_each(|number| writer.add(entry(number)))?;
    writer.keep()
}

fn len(state: &State, policy: &str, what: &str) -> Option<u32> {
    let len = state.index(policy, &about(what), at(10))?.index.len();
    Some(u32::try_from(len).unwrap())
}

/// What lies in the folder of the indexes.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("index")).map(|entries| entries.map(|it| it.unwrap().file_name()).collect());
    let mut names: Vec<_> = entries.unwrap_or_else(|_| Vec::new());
    names.sort();
    names.into_iter().map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn an_index_comes_back_as_it_was_kept() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    assert_eq!(len(&state, "temp", "this"), None, "there is none yet");
    let count = 3 * FEWEST_INDEXED + 5;
    keep(&state, "temp", count).unwrap();
    let remembered = state.index("temp", &about("this"), at(10)).unwrap();
    assert_eq!(remembered.begun_at, at(0));
    let mut entries: Vec<Entry> = remembered.index.entries().collect();
    entries.sort_by_key(|entry| entry.key);
    let mut expected: Vec<Entry> = (0..count).map(entry).collect();
    expected.sort_by_key(|entry| entry.key);
    assert_eq!(entries, expected);
    assert_eq!(state.begin_index("temp", &about("this"), at(0)).unwrap().seed(), remembered.index.seed());
    assert_eq!(files(&folder), ["temp"]);

    let late = state.index("temp", &about("this"), at(1_000)).unwrap();
    assert!(late.index.is_empty(), "the time of all of them has come");
}

#[test]
fn few_files_are_not_worth_one() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED - 1).unwrap();
    assert_eq!(files(&folder), [""; 0]);
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED));
    keep(&state, "temp", 3).unwrap();
    assert_eq!(files(&folder), [""; 0], "the old one is about files that are gone");
}

#[test]
fn an_index_about_anything_else_is_none() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    for other in ["that", "", "thi", "this one"] {
        assert_eq!(len(&state, "temp", other), None, "{other}");
    }
    assert_eq!(len(&state, "other", "this"), None);
    for name in ["", "..", "a/b", "../promises.jsonl", "A"] {
        assert_eq!(len(&state, name, "this"), None);
        assert!(state.begin_index(name, &about("this"), at(0)).is_none(), "{name}");
    }
}

#[test]
fn whatever_is_done_to_its_bytes_it_is_whole_or_none() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    let path = folder.join("index/temp");
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 150;
    for at in (0..whole.len()).step_by(step).chain(0..40).chain(whole.len() - 24..whole.len()) {
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(len(&state, "temp", "this"), None, "cut off at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        assert_eq!(len(&state, "temp", "this"), None, "flipped at {at}");
    }
    for more in [1, 4, 16] {
        let longer: Vec<u8> = whole.iter().copied().chain(std::iter::repeat_n(0, more)).collect();
        fs::write(&path, longer).unwrap();
        assert_eq!(len(&state, "temp", "this"), None, "longer by {more}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED), "and this was it");
}

#[test]
fn a_link_a_folder_or_a_pipe_in_its_place_is_no_index() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    let path = folder.join("index/temp");
    let elsewhere = folder.join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(len(&state, "temp", "this"), None, "a link");
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED), "the link is replaced");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());

    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(len(&state, "temp", "this"), None, "nobody waits for its other end");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(len(&state, "temp", "this"), None);
    assert!(keep(&state, "temp", FEWEST_INDEXED).is_err(), "a folder is not ours to remove");
    assert_eq!(files(&folder), ["temp"], "and nothing is left of the try");
}

#[test]
fn an_index_that_is_not_kept_leaves_the_old_one() {
    let (_parent, folder) = fast_folder();
    let state = State::open(&folder, None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    let mut writer = state.begin_index("temp", &about("this"), at(0)).unwrap();
    (0..2 * FEWEST_INDEXED).for_each(|number| writer.add(entry(number)).unwrap());
    assert_eq!(files(&folder), ["temp", "temp.new"]);
    // As `kill -9` leaves it.
    std::mem::forget(writer);
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED));
    keep(&state, "temp", FEWEST_INDEXED + 1).unwrap();
    assert_eq!(files(&folder), ["temp"], "and the next one clears up");

    let mut writer = state.begin_index("temp", &about("this"), at(0)).unwrap();
    (0..2 * FEWEST_INDEXED).for_each(|number| writer.add(entry(number)).unwrap());
    drop(writer);
    assert_eq!(files(&folder), ["temp"]);
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED + 1));
}

#[test]
fn who_only_looks_keeps_none() {
    let (_parent, folder) = fast_folder();
    keep(&State::open(&folder, None).unwrap(), "temp", FEWEST_INDEXED).unwrap();
    let state = State::look(&folder, None).unwrap();
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED));
    assert!(state.begin_index("temp", &about("this"), at(0)).is_none());
}

#[test]
fn a_full_disk_has_no_index_and_keeps_its_room() {
    let Some(small) = Small::new("2m") else { return };
    let state = State::open(&small.folder(), None).unwrap();
    keep(&state, "temp", FEWEST_INDEXED).unwrap();
    let filling = small.fill();
    assert!(keep(&state, "temp", 4 * FEWEST_INDEXED).is_err());
    assert_eq!(files(&small.folder()), ["temp"]);
    assert_eq!(len(&state, "temp", "this"), Some(FEWEST_INDEXED));
    drop(filling);
}
