//! Answers from the log, the newest entries first.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use cleanup_core::moment::Moment;

use super::reason::Reason;
use super::segment::{Foot, Key};
use super::{Removal, Segment, folder_of, frame, record, segments};
use crate::folder;

/// A segment with more bytes was not written by us, and is not read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct RemovalsQuery<'a> {
    /// Of which paths.
    pub path: PathQuery<'a>,
    /// By this policy alone.
    pub policy: Option<&'a str>,
    /// By this run alone.
    pub run: Option<&'a str>,
    /// Not before this moment.
    pub since: Option<Moment>,
    /// At most so many.
    pub limit: usize,
    /// Those before this entry.
    pub before: Option<Position>,
}

/// Which paths.
#[derive(Clone, Copy)]
pub enum PathQuery<'a> {
    /// All of them, and entries without one.
    Any,
    /// One file, which is found by an index.
    Exact {
        /// Its absolute paths, in all spellings.
        paths: &'a [Vec<u8>],
        /// The paths of folders in which it may have gone: only those that went whole are found by these.
        above: &'a [Vec<u8>],
    },
    /// Whatever this says yes to. Everything is read.
    Matching(&'a dyn Fn(&[u8]) -> bool),
}

impl PathQuery<'_> {
    fn finds(self, removal: &Removal<'_>) -> bool {
        let path = removal.path.as_deref();
        match self {
            Self::Any => true,
            Self::Exact { paths, above } => path.is_some_and(|path| {
                paths.iter().any(|it| it == path)
                    || (removal.action.is_of_whole_directory() && above.iter().any(|it| it == path))
            }),
            Self::Matching(matches) => path.is_some_and(matches),
        }
    }
}

impl RemovalsQuery<'_> {
    fn finds(&self, removal: &Removal<'_>) -> bool {
        self.policy.is_none_or(|policy| removal.policy == policy)
            && self.run.is_none_or(|run| removal.run == run)
            && self.since.is_none_or(|since| removal.at >= since)
            && self.path.finds(removal)
    }

    /// What the index is asked for; nothing when everything has to be read.
    fn keys(&self) -> Vec<Key<'_>> {
        match (self.path, self.run) {
            (PathQuery::Exact { paths, above }, _) => paths.iter().chain(above).map(|path| Key::Path(path)).collect(),
            (_, Some(run)) => vec![Key::Run(run)],
            (PathQuery::Any | PathQuery::Matching(_), None) => Vec::new(),
        }
    }
}

/// An entry's place in the log. It stays the same when the log is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of its segment.
    pub segment: u64,
    /// How many entries are before it there.
    pub entry: u64,
}

/// Some entries, the newest first as far as one thread wrote them: those of several at work at the same time are mixed by
/// up to a tenth of a second, and two processes have a segment each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub removals: Vec<Removal<'static>>,
    /// What to continue before, when there may be more.
    pub next: Option<Position>,
}

/// Looks entries up. A segment that cannot be read is left out.
pub(crate) fn page(state: &Path, query: &RemovalsQuery<'_>) -> io::Result<Page> {
    let folder = folder_of(state);
    let mut page = Page::default();
    let mut last = None;
    for segment in segments(&folder)?.into_iter().rev() {
        let end = match query.before {
            Some(before) if before.segment < segment.number => continue,
            Some(before) if before.segment == segment.number => before.entry,
            _ => u64::MAX,
        };
        let mut found = |position, removal| {
            page.removals.push(removal);
            last = Some(position);
            page.removals.len() < query.limit
        };
        match read(&folder, segment, query, end, &mut found) {
            Ok(true) => {}
            Ok(false) => {
                page.next = last;
                break;
            }
            Err(error) => tracing::debug!("{}: {error}", segment.path(&folder).display()),
        }
    }
    Ok(page)
}

/// Calls back with the entries of a segment before the one with the number `end`, the last first, for as long as the
/// answer is to go on. Says whether it is.
fn read(
    folder: &Path,
    segment: Segment,
    query: &RemovalsQuery<'_>,
    end: u64,
    found: &mut dyn FnMut(Position, Removal<'static>) -> bool,
) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(segment.path(folder))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || folder::stranger(&metadata).is_some() || metadata.len() > MOST_BYTES {
        return Ok(true);
    }
    let foot = if segment.is_sealed { Foot::read(&file, metadata.len())? } else { None };
    if let (Some(foot), Some(since)) = (&foot, query.since)
        && foot.last < since.unix_seconds()
    {
        return Ok(true);
    }
    let by_index = foot.map(|foot| indexed(&file, &foot, &query.keys())).transpose()?.flatten();
    let frames = match by_index {
        Some(frames) => frames,
        None => whole(&mut file)?,
    };
    for Numbered { first, bytes } in frames.into_iter().rev() {
        let mut matching = Vec::new();
        let mut number = first;
        if let Some(entries) = frame::decode(&bytes) {
            // What cannot be read in spite of its checksum was written by a later version of this program.
            let _ = record::decode(&entries, &mut |removal| {
                if number < end && query.finds(&removal) {
                    matching.push((number, owned(removal)));
                }
                number += 1;
            });
        }
        for (entry, removal) in matching.into_iter().rev() {
            if !found(Position { segment: segment.number, entry }, removal) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A frame, with the number of its first entry in the segment.
struct Numbered {
    first: u64,
    bytes: Vec<u8>,
}

/// The frames in which any of these keys may be; `None` without keys, and where anything about the index or one of the
/// frames is wrong.
fn indexed(file: &File, foot: &Foot, keys: &[Key<'_>]) -> io::Result<Option<Vec<Numbered>>> {
    if keys.is_empty() {
        return Ok(None);
    }
    let mut wanted = BTreeSet::new();
    for key in keys {
        let Some(frames) = foot.frames_of(file, *key)? else { return Ok(None) };
        wanted.extend(frames);
    }
    if wanted.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let Some(places) = foot.frames(file)? else { return Ok(None) };
    let mut frames = Vec::new();
    let mut first = 0;
    for (number, place) in places.windows(2).enumerate() {
        let [begin, end] = [u64::from(place[0]), u64::from(place[1])];
        let Some(len) = end.checked_sub(begin) else { return Ok(None) };
        let is_wanted = u16::try_from(number).is_ok_and(|number| wanted.contains(&number));
        let mut bytes =
            vec![0; usize::try_from(if is_wanted { len } else { len.min(frame::HEAD as u64) }).unwrap_or(0)];
        file.read_exact_at(&mut bytes, begin)?;
        let Some(count) = frame::count(&bytes) else { return Ok(None) };
        if is_wanted {
            if frame::decode(&bytes).is_none() {
                return Ok(None);
            }
            frames.push(Numbered { first, bytes });
        }
        first += u64::from(count);
    }
    Ok(Some(frames))
}

/// All frames of a segment that can be read.
fn whole(file: &mut File) -> io::Result<Vec<Numbered>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let mut frames = Vec::new();
    let mut first = 0;
    frame::each(&bytes, &mut |frame, bytes| {
        frames.push(Numbered { first, bytes: bytes.to_owned() });
        first += u64::from(frame.count);
    });
    Ok(frames)
}

fn owned(removal: Removal<'_>) -> Removal<'static> {
    let Removal { at, run, trigger, asked_by, policy, action, path, count, bytes, inode, reason } = removal;
    Removal {
        at,
        run: run.into_owned().into(),
        trigger,
        asked_by: asked_by.map(|name| name.into_owned().into()),
        policy: policy.into_owned().into(),
        action,
        path: path.map(|path| path.into_owned().into()),
        count,
        bytes,
        inode,
        reason: reason.map(Reason::into_owned),
    }
}
