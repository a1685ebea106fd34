//! The file of a due index: `index/POLICY`, replaced as a whole, and discarded at the slightest doubt.
//!
//! A header says what it was made for, 16 bytes for each entry follow, and a checksum ends it. It is written beside
//! the old one while a sweep goes on, and takes its place in one step: whoever is killed meanwhile leaves the old one.
//! It is never synced: the checksum detects what a crash leaves of it, and losing it costs one look at every file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cleanup_core::index::{Entry, Index};
use cleanup_core::moment::Moment;

use crate::folder;

/// Raised when anything here, or in the keys of entries, changes its meaning.
const MAGIC: &[u8; 8] = b"clnidx\0\x01";

/// Magic, the moment it was begun, the length of what it is about.
const HEADER: usize = 8 + 8 + 4;

const ENTRY: usize = 16;
const CHECKSUM: usize = 4;

/// Bytes read or written at a time.
const CHUNK: usize = ENTRY * 4096;

/// Fewest young files for which an index is kept: below that, `stat` is as fast as the index.
pub const FEWEST_INDEXED: u32 = 32_768;

/// Most files an index holds (160 MiB of memory during a sweep); the others are looked at in every sweep.
const MOST_INDEXED: usize = 8 * 1024 * 1024;

/// Longest description of what an index was made for, in bytes.
const LONGEST: usize = 64 * 1024;

/// Longest file of an index, in bytes.
const MOST_BYTES: usize = HEADER + LONGEST + MOST_INDEXED * ENTRY + CHECKSUM;

/// What an index was made for, word for word: a sweep that is about anything else cannot use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About(pub String);

/// A policy's index as a sweep has left it.
#[derive(Debug)]
pub struct Remembered {
    /// What can be asked.
    pub index: Index,
    /// When all files were looked at the last time.
    pub begun_at: Moment,
}

/// Reads an index. `None` when there is none, when it is about something else, or when anything about it is wrong.
pub(crate) fn read(path: &Path, about: &About, now: Moment) -> Option<Remembered> {
    match try_read(path, about, now) {
        Ok(remembered) => remembered,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::debug!("an index is not used: {error}");
            None
        }
    }
}

fn try_read(path: &Path, about: &About, now: Moment) -> io::Result<Option<Remembered>> {
    let mut file = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(path)?;
    let metadata = file.metadata()?;
    // A file that is longer than any that was written is not read at all: it may be longer than anybody waits.
    let is_ours = metadata.is_file() && folder::stranger(&metadata).is_none() && metadata.len() <= MOST_BYTES as u64;
    if !is_ours || !is_whole(&mut file, metadata.len())? {
        return Ok(None);
    }
    file.rewind()?;
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (begun_at, length) = rest.split_at(8);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes are left")) as usize;
    if magic != MAGIC || length != about.0.len() {
        return Ok(None);
    }
    let begun_at = i64::from_le_bytes(begun_at.try_into().expect("eight bytes were split off"));
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let whole = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut left = whole.saturating_sub(HEADER + length + CHECKSUM);
    if text != about.0.as_bytes() || !left.is_multiple_of(ENTRY) || left / ENTRY > MOST_INDEXED {
        return Ok(None);
    }
    let mut index = Index::with_room_for(left / ENTRY, seed(begun_at), now);
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let part = &mut chunk[..left.min(CHUNK)];
        file.read_exact(part)?;
        part.chunks_exact(ENTRY).map(from_bytes).for_each(|entry| index.add(entry));
        left -= part.len();
    }
    Ok(Some(Remembered { index, begun_at: Moment::from_unix(begun_at, 0) }))
}

/// Whether the checksum at the end is right. Before anything of it is believed: of arbitrary keys, all might want the
/// same place.
fn is_whole(file: &mut File, len: u64) -> io::Result<bool> {
    let Some(mut left) = len.checked_sub(CHECKSUM as u64) else { return Ok(false) };
    let mut checksum = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let part = &mut chunk[..usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        file.read_exact(part)?;
        checksum.update(part);
        left -= part.len() as u64;
    }
    let mut expected = [0; CHECKSUM];
    file.read_exact(&mut expected)?;
    Ok(u32::from_le_bytes(expected) == checksum.finalize())
}

/// An index that is being written beside the old one. Dropped without [`IndexWriter::keep`], it leaves the old one.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    /// The header and what is not written yet.
    buffer: Vec<u8>,
    /// Missing until there are enough entries.
    file: Option<File>,
    checksum: crc32fast::Hasher,
    seed: u64,
    header: usize,
    /// How many more entries are taken.
    room: usize,
}

impl IndexWriter {
    /// Begins an index in `folder`. What was looked at since `begun_at` is what it builds upon.
    pub(crate) fn begin(path: PathBuf, about: &About, begun_at: Moment) -> Self {
        let seconds = begun_at.unix_seconds();
        let mut buffer = Vec::from(MAGIC);
        buffer.extend_from_slice(&seconds.to_le_bytes());
        let text = &about.0.as_bytes()[..about.0.len().min(LONGEST)];
        buffer.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        buffer.extend_from_slice(text);
        let header = buffer.len();
        Self {
            path,
            buffer,
            file: None,
            checksum: crc32fast::Hasher::new(),
            seed: seed(seconds),
            header,
            room: MOST_INDEXED,
        }
    }

    /// The seed of the keys in it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.buffer.len() == self.header
    }

    /// Adds an entry, as long as there is room.
    pub fn add(&mut self, entry: Entry) -> io::Result<()> {
        let Some(room) = self.room.checked_sub(1) else { return Ok(()) };
        self.room = room;
        self.buffer.extend_from_slice(&to_bytes(entry));
        let most = if self.file.is_some() { CHUNK } else { self.header + ENTRY * FEWEST_INDEXED as usize };
        if self.buffer.len() < most { Ok(()) } else { self.flush() }
    }

    /// Puts it in the place of the old one. Where there are few files, no index is kept at all.
    pub fn keep(mut self) -> io::Result<()> {
        if self.file.is_none() {
            return forget(&self.path);
        }
        self.flush()?;
        let checksum = self.checksum.clone().finalize();
        if let Some(file) = &mut self.file {
            file.write_all(&checksum.to_le_bytes())?;
            fs::rename(beside(&self.path), &self.path)?;
            // The name beside it is gone.
            self.file = None;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            missing => missing.insert(create(&self.path)?),
        };
        self.checksum.update(&self.buffer);
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for IndexWriter {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = fs::remove_file(beside(&self.path))
        {
            tracing::debug!("cannot remove an incomplete index: {error}");
        }
    }
}

/// Removes an index, if there is one.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        folder::make(folder)?;
    }
    let new = beside(path);
    forget(&new)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(folder::no_follow()).open(new)
}

/// Where it is written. No policy has a dot in its name.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Another one each time: two files that look alike by chance do not look alike for ever.
fn seed(begun_at: i64) -> u64 {
    begun_at.cast_unsigned()
}

fn to_bytes(entry: Entry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&entry.key.to_le_bytes());
    bytes[8..12].copy_from_slice(&entry.until.to_le_bytes());
    bytes[12..].copy_from_slice(&entry.blocks.to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8]) -> Entry {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("an entry has sixteen bytes"));
    let key = u64::from(number(0)) | u64::from(number(4)) << 32;
    Entry { key, until: number(8), blocks: number(12) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let (path, about, now) = (folder.path().join("temp"), About("this".to_owned()), Moment::from_unix(1_000, 0));
        let mut writer = IndexWriter::begin(path.clone(), &about, now);
        let fewest = FEWEST_INDEXED as usize;
        writer.room = fewest + 2;
        for number in 1..=u64::from(FEWEST_INDEXED) + 9 {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writer.add(Entry { key, until: 2_000, blocks: 1 }).unwrap();
        }
        writer.keep().unwrap();
        assert_eq!(read(&path, &about, now).unwrap().index.len(), fewest + 2);
    }

    #[test]
    fn a_file_that_is_longer_than_any_index_is_not_even_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("temp");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 42).unwrap();
        let begun = std::time::Instant::now();
        assert!(read(&path, &About("this".to_owned()), Moment::from_unix(1_000, 0)).is_none());
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

/// Bytes that are not as they were written. An index only says "not yet", so the one thing that must not be is an entry
/// that nobody wrote.
#[cfg(test)]
mod damage {
    use cleanup_core::damage::{Blow, damaged};
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment::from_unix(1_000, 0);

    fn about() -> About {
        About("this".to_owned())
    }

    /// One with few entries, which is read like one with many.
    fn written(entries: u32) -> Vec<u8> {
        let mut writer = IndexWriter::begin(PathBuf::new(), &about(), NOW);
        for number in 1..=entries {
            let key = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writer.add(Entry { key, until: 2_000 + number, blocks: number }).unwrap();
        }
        with_checksum(&writer.buffer)
    }

    fn with_checksum(bytes: &[u8]) -> Vec<u8> {
        [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat()
    }

    fn read_back(folder: &Path, bytes: &[u8]) -> Option<(Moment, Vec<Entry>)> {
        let path = folder.join("p");
        fs::write(&path, bytes).unwrap();
        let Remembered { index, begun_at } = read(&path, &about(), NOW)?;
        let mut entries: Vec<Entry> = index.entries().collect();
        entries.sort_by_key(|entry| entry.key);
        Some((begun_at, entries))
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_another_index(count in 0_u32..40, blows in prop::collection::vec(any::<Blow>(), 1..4)) {
            let folder = folder::for_tests();
            let bytes = written(count);
            let whole = read_back(folder.path(), &bytes);
            prop_assert_eq!(whole.as_ref().map(|(_, entries)| entries.len()), Some(count as usize));
            let read = read_back(folder.path(), &damaged(&bytes, &blows));
            prop_assert!(read.is_none() || read == whole, "{:?}", read);
        }

        /// Past the checksum too: whoever writes one that is right still gets no entry that is over.
        #[test]
        fn no_bytes_with_a_right_checksum_are_too_strange_to_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            count in 0_u32..40,
            blows in prop::collection::vec(any::<Blow>(), 1..4),
        ) {
            let folder = folder::for_tests();
            let whole = written(count);
            let body = &whole[..whole.len() - CHECKSUM];
            for bytes in [bytes.clone(), [MAGIC.as_slice(), &bytes].concat(), damaged(body, &blows)] {
                if let Some((_, entries)) = read_back(folder.path(), &with_checksum(&bytes)) {
                    let is_over = |entry: &Entry| i64::from(entry.until) <= NOW.unix_seconds();
                    prop_assert!(!entries.iter().any(|entry| entry.key == 0 || is_over(entry)));
                }
            }
        }
    }
}
