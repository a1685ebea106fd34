//! Frames: some entries, compressed, with a checksum.
//!
//! A log is nothing but frames. Each begins with a mark, so that after a damaged one the next is found, and ends with its
//! length, so that the last one of a log is looked at without reading the others.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The mark of a frame. Its last byte is the version of the format: raised when anything in frames changes its meaning.
const MARK: &[u8; 8] = b"clnrmv\0\x01";

/// The mark, the lengths of the entries and of what they are compressed to, how many they are, the checksum.
pub(super) const HEAD: usize = 8 + 4 + 4 + 4 + 4;

/// The length of the whole frame.
const TAIL: usize = 4;

/// The entries of a full frame have about so many bytes before they are compressed.
pub(super) const FULL: usize = 64 * 1024;

/// Most bytes of a frame's entries. A path has at most 4 KiB and a reason little more, so a frame that is closed as soon
/// as it is full has fewer.
const MOST: usize = 4 * FULL;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// How long it is, in bytes.
    pub(super) len: usize,
    /// How many entries are in it.
    pub(super) count: u32,
    /// How many bytes they are, before they are compressed.
    pub(super) raw: usize,
}

/// Makes a frame of what an encoder wrote.
pub(super) fn encode(entries: &[u8], count: u32) -> Vec<u8> {
    let packed = lz4_flex::block::compress(entries);
    let mut frame = Vec::with_capacity(HEAD + packed.len() + TAIL);
    frame.extend_from_slice(MARK);
    frame.extend_from_slice(&length(entries.len()).to_le_bytes());
    frame.extend_from_slice(&length(packed.len()).to_le_bytes());
    frame.extend_from_slice(&count.to_le_bytes());
    frame.extend_from_slice(&checksum(&frame, &packed).to_le_bytes());
    frame.extend_from_slice(&packed);
    let len = length(frame.len() + TAIL);
    frame.extend_from_slice(&len.to_le_bytes());
    frame
}

/// The entries of the frame at the beginning of these bytes. `None` where there is none, or one that is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let (frame, packed) = checked(bytes)?;
    let entries = lz4_flex::block::decompress(packed, frame.raw).ok()?;
    (entries.len() == frame.raw).then_some(entries)
}

/// The same without its entries.
fn checked(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let head = bytes.first_chunk::<HEAD>()?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (raw, packed, count) = (number(8), number(12), number(16));
    if !head.starts_with(MARK) || raw as usize > MOST {
        return None;
    }
    let packed = bytes[HEAD..].get(..packed as usize)?;
    let len = HEAD + packed.len() + TAIL;
    let tail = bytes.get(len - TAIL..len)?;
    let is_whole = number(20) == checksum(&head[..HEAD - 4], packed) && tail == length(len).to_le_bytes();
    is_whole.then_some((Frame { len, count, raw: raw as usize }, packed))
}

/// How many entries are in the frame that begins with these bytes, as it says itself.
pub(super) fn count(bytes: &[u8]) -> Option<u32> {
    let head = bytes.first_chunk::<HEAD>()?;
    head.starts_with(MARK).then(|| u32::from_le_bytes([head[16], head[17], head[18], head[19]]))
}

/// Calls back with each whole frame of some bytes, in order, and with its bytes. What is between them is passed over.
pub(super) fn each(bytes: &[u8], found: &mut dyn FnMut(Frame, &[u8])) {
    let mut rest = bytes;
    loop {
        if let Some((frame, _)) = checked(rest) {
            let (here, behind) = rest.split_at(frame.len);
            found(frame, here);
            rest = behind;
            continue;
        }
        // The next mark, behind the first byte of this one.
        let Some(behind) = rest.get(1..) else { return };
        let Some(next) = behind.windows(MARK.len()).position(|window| window == MARK) else { return };
        rest = &behind[next..];
    }
}

/// Whether a file of this length ends with a whole frame, or has nothing in it: only then what is appended is found by
/// whoever reads on.
pub(super) fn ends_whole(file: &File, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    let Some(tail_at) = len.checked_sub(TAIL as u64) else { return Ok(false) };
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, tail_at)?;
    let frame = u64::from(u32::from_le_bytes(tail));
    let longest = (HEAD + lz4_flex::block::get_maximum_output_size(MOST) + TAIL) as u64;
    let Some(at) = len.checked_sub(frame).filter(|_| frame <= longest) else { return Ok(false) };
    let mut bytes = vec![0; usize::try_from(frame).unwrap_or(0)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(checked(&bytes).is_some_and(|(found, _)| found.len as u64 == frame))
}

fn checksum(head: &[u8], packed: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(head);
    checksum.update(packed);
    checksum.finalize()
}

/// Far below 4 GiB, whatever it is the length of.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
