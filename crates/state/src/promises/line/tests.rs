//! No damage makes a promise another one, or a shorter one, without being noticed.

use std::collections::BTreeMap;

use cleanup_core::damage::{Blow, damaged};
use proptest::prelude::*;

use super::*;

fn entry() -> impl Strategy<Value = Entry> {
    let path = prop::collection::vec(1..=u8::MAX, 1..20).prop_map(|name| [b"/", name.as_slice()].concat());
    let known = prop::sample::select(vec![b"/a".to_vec(), b"/b/c".to_vec(), b"/\xff".to_vec()]);
    let moment = (0..4_000_000_000_i64).prop_map(|seconds| Moment::from_unix(seconds, 0));
    let paths = prop_oneof![known, path];
    let words = || prop::option::of("\\PC{0,10}");
    (0..4, paths, moment.clone(), moment, words(), words()).prop_map(|(kind, path, until, at, reason, by)| match kind {
        0 => Entry::Hold(Hold { path, until, made_at: at, reason, by }),
        1 => Entry::Ttl(Ttl { path, until, made_at: at }),
        2 => Entry::Release { path, at },
        _ => Entry::Forget { path, at },
    })
}

fn parse(bytes: &[u8]) -> Result<Content, Flaw> {
    super::parse(bytes).unwrap()
}

/// What is promised in the end: until when, by kind and path.
fn in_force(entries: &[Entry]) -> BTreeMap<(bool, Vec<u8>), Moment> {
    let mut promised = BTreeMap::new();
    for entry in entries {
        match entry.clone() {
            Entry::Hold(hold) => drop(promised.insert((true, hold.path), hold.until)),
            Entry::Ttl(ttl) => drop(promised.insert((false, ttl.path), ttl.until)),
            Entry::Release { path, .. } => drop(promised.remove(&(true, path))),
            Entry::Forget { path, .. } => drop(promised.remove(&(false, path))),
            Entry::Checkpoint { .. } => {}
        }
    }
    promised
}

fn written(entries: &[Entry]) -> (Vec<u8>, Vec<Entry>) {
    let records: Vec<Record> = (1..).zip(entries).map(|(number, entry)| encode(Some(number), entry)).collect();
    let text: String = records.iter().map(|record| record.text.as_str()).collect();
    (text.into_bytes(), records.into_iter().map(|record| record.entry).collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in prop::collection::vec(entry(), 0..8)) {
        let (text, entries) = written(&entries);
        let content = parse(&text).unwrap();
        prop_assert_eq!((content.has_gap, content.repair, content.sequence), (false, None, entries.len() as u64));
        prop_assert_eq!(content.entries, entries);
    }

    #[test]
    fn no_damage_changes_what_is_promised_unnoticed(
        entries in prop::collection::vec(entry(), 1..8),
        blows in prop::collection::vec(any::<Blow>(), 1..4),
    ) {
        let (text, entries) = written(&entries);
        let bytes = damaged(&text, &blows);
        match parse(&bytes) {
            Err(flaw) => {
                let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
                prop_assert!((1..=lines).contains(&flaw.line), "{:?} of {}", flaw, lines);
            }
            Ok(content) => {
                for entry in &content.entries {
                    prop_assert!(entries.contains(entry), "never promised: {:?}", entry);
                }
                // The guard remembers the number of the last line.
                let is_noticed = content.has_gap || content.sequence < entries.len() as u64;
                prop_assert!(is_noticed || in_force(&content.entries) == in_force(&entries), "{:?}", content);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
        let _ = parse(&[HEAD.as_bytes(), &bytes].concat());
        // With a checksum that is right.
        let sum = format!("{HEAD}{:08x}{HEAD_END}", crc32fast::hash(&bytes));
        let _ = parse(&[sum.as_bytes(), &bytes, b"\n"].concat());
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/promises");
    for entry in std::fs::read_dir(corpus).unwrap() {
        let _ = parse(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}

#[test]
fn of_a_line_without_an_end_little_is_kept() {
    /// Gives back the same byte for ever, or nearly.
    struct Endless(u8);
    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(self.0);
            Ok(buffer.len())
        }
    }
    let text = encode(Some(1), &Entry::Release { path: b"/a".to_vec(), at: Moment::from_unix(1, 0) }).text;
    let length = text.len() as u64;
    for (byte, is_torn) in [(0, true), (b'x', false)] {
        let tail = || io::Read::take(Endless(byte), 3 * LONGEST);
        let read = |end: &'static [u8]| {
            let file = io::Read::chain(io::Read::chain(text.as_bytes(), tail()), end);
            super::parse(io::BufReader::new(file)).unwrap()
        };
        // Never promised, as with a short one.
        assert_eq!(read(b"").unwrap().repair, Some(Repair::Cut { line: 2, length }));
        assert_eq!(read(b"\n").is_ok(), is_torn);
        assert_eq!(read(b"\n\n").unwrap_err().line, 2);
        let mut longest = Vec::new();
        while read_line(&mut io::BufReader::new(tail()), &mut longest).unwrap().is_none() {}
        assert!(longest.capacity() as u64 <= 2 * LONGEST, "{}", longest.capacity());
    }
}
