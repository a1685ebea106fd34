//! Sealed segments: frames, and behind them an index of what is in which frame.
//!
//! The index is a table of 4,096 buckets. The upper bits of a key's hash choose the bucket; in it, four bytes for each key
//! hold sixteen more bits and the number of the frame. To look for a path takes the two ends of its bucket, the bucket
//! and, where it is in it, the place of the frame: a few small reads. One key in a thousand segments of full size leads to
//! a frame that it is not in, which is only time.
//!
//! Every part has a checksum of its own, and who finds it wrong reads the whole segment instead: damage costs time, and
//! the entries that it hit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use cleanup_core::moment::Moment;
use twox_hash::XxHash3_64;

use super::Removal;
use super::frame::{self, Frame};
use super::record::{self, Encoder};

/// The mark at the end of a segment, with the version of the index.
const MARK: &[u8; 8] = b"clnrmi\0\x01";

const BUCKETS: usize = 4096;

/// The place where the index begins, how many frames there are, the first and the last moment in seconds, the mark and
/// the checksum.
const FOOT: usize = 8 + 4 + 8 + 8 + 8 + 4;

/// A key in a bucket.
const KEY: usize = 4;

/// Most frames of a segment: two bytes name one.
const MOST_FRAMES: usize = u16::MAX as usize;

/// Frames with fewer bytes are joined with their neighbours when a log is sealed.
const SMALL: usize = 16 * 1024;

/// What entries can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Path(&'a [u8]),
    Run(&'a str),
}

impl Key<'_> {
    fn hash(self) -> u64 {
        match self {
            Self::Path(path) => XxHash3_64::oneshot(path),
            Self::Run(run) => XxHash3_64::oneshot_with_seed(1, run.as_bytes()),
        }
    }
}

/// The keys of some entries, and the span of time that they cover.
#[derive(Debug, Default)]
pub(super) struct Keys {
    hashes: Vec<u64>,
    last_run: Option<u64>,
    span: Option<(Moment, Moment)>,
}

impl Keys {
    pub(super) fn add(&mut self, removal: &Removal<'_>) {
        let (first, last) = self.span.unwrap_or((removal.at, removal.at));
        self.span = Some((first.min(removal.at), last.max(removal.at)));
        self.hashes.extend(removal.path.as_deref().map(|path| Key::Path(path).hash()));
        let run = Key::Run(&removal.run).hash();
        if self.last_run.replace(run) != Some(run) {
            self.hashes.push(run);
        }
    }
}

/// The bytes of a sealed segment, made from those of a log. `None` where nothing in it can be read.
pub(super) fn seal(log: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = Sealing::default();
    frame::each(log, &mut |frame, bytes| sealed.add(frame, bytes));
    sealed.close();
    let Sealing { mut bytes, index, .. } = sealed;
    bytes.append(&mut index.finish()?);
    Some(bytes)
}

#[derive(Default)]
struct Sealing {
    bytes: Vec<u8>,
    index: Index,
    /// Small frames that are joined.
    open: Encoder,
    open_keys: Keys,
}

impl Sealing {
    fn add(&mut self, frame: Frame, bytes: &[u8]) {
        let Some(entries) = frame::decode(bytes) else { return };
        if is_small(frame.raw) {
            let Self { open, open_keys, .. } = self;
            // What cannot be read in spite of its checksum was written by a later version of this program: left out.
            let _ = record::decode(&entries, &mut |removal| {
                open_keys.add(&removal);
                open.add(&removal);
            });
            if self.open.len() >= frame::FULL {
                self.close();
            }
        } else {
            self.close();
            let mut keys = Keys::default();
            let _ = record::decode(&entries, &mut |removal| keys.add(&removal));
            self.push(bytes, keys);
        }
    }

    /// Writes the frame of the small ones that were joined.
    fn close(&mut self) {
        if self.open.count() > 0 {
            let (entries, count) = self.open.take();
            let keys = std::mem::take(&mut self.open_keys);
            self.push(&frame::encode(&entries, count), keys);
        }
    }

    fn push(&mut self, frame: &[u8], keys: Keys) {
        self.index.add(frame.len(), keys);
        self.bytes.extend_from_slice(frame);
    }
}

/// Whether a frame of so many bytes, before they are compressed, is joined with its neighbours.
pub(super) fn is_small(raw: usize) -> bool {
    raw < SMALL
}

/// The index of a segment, for as long as frames are added to it.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where frames begin.
    frames: Vec<u32>,
    /// Where the last one ends.
    end: u64,
    /// Hashes of keys, each with its frame.
    keys: Vec<(u64, u16)>,
    span: Option<(Moment, Moment)>,
}

impl Index {
    /// Adds the next frame, by its length in bytes.
    pub(super) fn add(&mut self, len: usize, keys: Keys) {
        let Keys { hashes, span, .. } = keys;
        let number = u16::try_from(self.frames.len()).unwrap_or(u16::MAX);
        self.frames.push(u32::try_from(self.end).unwrap_or(u32::MAX));
        self.end += len as u64;
        self.keys.extend(hashes.into_iter().map(|hash| (hash, number)));
        self.span = match (self.span, span) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (one, other) => one.or(other),
        };
    }

    /// What stands behind the frames. `None` without any, and where there are more than an index can name.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        let Self { frames, end: index_at, mut keys, span } = self;
        let (first, last) = span?;
        let end = u32::try_from(index_at).ok().filter(|_| frames.len() <= MOST_FRAMES)?;
        keys.sort_unstable();
        keys.dedup();
        let mut bytes: Vec<u8> = frames.iter().chain([&end]).flat_map(|at| at.to_le_bytes()).collect();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let mut table = Vec::with_capacity((BUCKETS + 1) * 4);
        let mut buckets = Vec::with_capacity(keys.len() * KEY + BUCKETS * 4);
        let mut rest = keys.as_slice();
        for bucket in 0..BUCKETS {
            table.extend_from_slice(&u32::try_from(buckets.len()).ok()?.to_le_bytes());
            let len = rest.iter().take_while(|(key, _)| bucket_of(*key) == bucket).count();
            let (here, behind) = rest.split_at(len);
            rest = behind;
            let begin = buckets.len();
            for (key, frame) in here {
                buckets.extend_from_slice(&remainder(*key).to_le_bytes());
                buckets.extend_from_slice(&frame.to_le_bytes());
            }
            let checksum = bucket_checksum(bucket, &buckets[begin..]);
            buckets.extend_from_slice(&checksum.to_le_bytes());
        }
        table.extend_from_slice(&u32::try_from(buckets.len()).ok()?.to_le_bytes());
        bytes.append(&mut table);
        bytes.append(&mut buckets);
        let mut foot = Vec::with_capacity(FOOT);
        foot.extend_from_slice(&index_at.to_le_bytes());
        foot.extend_from_slice(&u32::try_from(frames.len()).ok()?.to_le_bytes());
        foot.extend_from_slice(&first.unix_seconds().to_le_bytes());
        foot.extend_from_slice(&last.unix_seconds().to_le_bytes());
        foot.extend_from_slice(MARK);
        foot.extend_from_slice(&crc32fast::hash(&foot).to_le_bytes());
        bytes.append(&mut foot);
        Some(bytes)
    }
}

fn bucket_of(key: u64) -> usize {
    usize::try_from(key >> 52).unwrap_or(0)
}

fn remainder(key: u64) -> u16 {
    let bytes = key.to_be_bytes();
    // The twelve bits of the bucket are the first byte and half of the second.
    u16::from_be_bytes([bytes[2], bytes[3]])
}

fn bucket_checksum(bucket: usize, keys: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&bucket.to_le_bytes());
    checksum.update(keys);
    checksum.finalize()
}

/// The end of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foot {
    /// Where the frames end, and the index begins.
    index_at: u64,
    frames: u32,
    /// The moments of the first and of the last entry, in whole seconds.
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Foot {
    /// Reads it. `None` when it is damaged.
    pub(super) fn read(file: &File, len: u64) -> io::Result<Option<Self>> {
        let Some(at) = len.checked_sub(FOOT as u64) else { return Ok(None) };
        let mut foot = [0; FOOT];
        file.read_exact_at(&mut foot, at)?;
        let (body, checksum) = foot.split_at(FOOT - 4);
        if checksum != crc32fast::hash(body).to_le_bytes() || !body.ends_with(MARK) {
            return Ok(None);
        }
        let long = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap_or_default());
        let frames = u32::from_le_bytes(body[8..12].try_into().unwrap_or_default());
        let (index_at, first, last) = (long(0), long(12).cast_signed(), long(20).cast_signed());
        Ok(Some(Self { index_at, frames, first, last }).filter(|foot| foot.index_at <= at))
    }

    /// Where the frames lie, in their order, and the end of the last. `None` when that is damaged.
    pub(super) fn frames(&self, file: &File) -> io::Result<Option<Vec<u32>>> {
        let mut bytes = vec![0; (self.frames as usize + 1) * 4 + 4];
        file.read_exact_at(&mut bytes, self.index_at)?;
        let (places, checksum) = bytes.split_at(bytes.len() - 4);
        if checksum != crc32fast::hash(places).to_le_bytes() {
            return Ok(None);
        }
        let place = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(Some(places.chunks_exact(4).map(place).collect()))
    }

    /// The numbers of the frames in which a key may be, in their order. `None` when that is damaged.
    pub(super) fn frames_of(&self, file: &File, key: Key<'_>) -> io::Result<Option<Vec<u16>>> {
        let hash = key.hash();
        let bucket = bucket_of(hash);
        let table_at = self.index_at + (u64::from(self.frames) + 1) * 4 + 4;
        let buckets_at = table_at + (BUCKETS as u64 + 1) * 4;
        let mut ends = [0; 8];
        file.read_exact_at(&mut ends, table_at + bucket as u64 * 4)?;
        let [b0, b1, b2, b3, e0, e1, e2, e3] = ends;
        let (begin, end) = (u32::from_le_bytes([b0, b1, b2, b3]), u32::from_le_bytes([e0, e1, e2, e3]));
        // A bucket holds few keys; one that is said to be longer than all of them together is damaged.
        let most = u32::try_from(super::MOST_RECORDS * 4 * KEY as u64).unwrap_or(u32::MAX);
        let Some(len) = end.checked_sub(begin).filter(|len| (4..=most).contains(len)) else { return Ok(None) };
        let mut bytes = vec![0; len as usize];
        match file.read_exact_at(&mut bytes, buckets_at + u64::from(begin)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let (keys, checksum) = bytes.split_at(bytes.len() - 4);
        if checksum != bucket_checksum(bucket, keys).to_le_bytes() {
            return Ok(None);
        }
        let wanted = remainder(hash).to_le_bytes();
        let named = keys.chunks_exact(KEY).filter(|key| key.starts_with(&wanted));
        let mut frames: Vec<u16> = named.map(|key| u16::from_le_bytes([key[2], key[3]])).collect();
        frames.dedup();
        Ok(Some(frames))
    }
}
