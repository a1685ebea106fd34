//! Entries as bytes: what many have in common is written once a frame.
//!
//! The run and its policy stand before their first entry, the folder before its first name, and moments and reasons are
//! written as what differs from the entry before. Numbers are LEB128. Frames carry a checksum, so what is read here was
//! written here; still nothing that is read makes a reader panic or take more memory than the frame has bytes.

use std::borrow::Cow;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;

use super::reason::{Judged, Reason};
use super::{Action, Removal};

/// What an item of a frame is. The low bits of a tag; an entry carries its [`Action`] above them.
const RUN: u8 = 0;
const FOLDER: u8 = 1;
const NAMED: u8 = 2;
const COUNTED: u8 = 3;
const KIND_BITS: u8 = 2;

/// How a reason begins: that of the entry before, none, words, or with the highest bit the kind of a verdict.
const SAME: u8 = 0;
const NONE: u8 = 1;
const WORDS: u8 = 2;
const JUDGED: u8 = 0x80;

/// Entries on their way into a frame.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    count: u32,
    run: Option<Context>,
    folder: Option<Vec<u8>>,
    reason: Option<Reason<'static>>,
    /// Nanoseconds.
    at: i64,
}

#[derive(Debug, PartialEq, Eq)]
struct Context {
    run: String,
    policy: String,
    asked_by: Option<String>,
    trigger: Trigger,
}

impl Context {
    fn is_of(&self, removal: &Removal<'_>) -> bool {
        self.run == removal.run
            && self.policy == removal.policy
            && self.trigger == removal.trigger
            && self.asked_by.as_deref() == removal.asked_by.as_deref()
    }
}

impl Encoder {
    /// How many entries wait.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes they are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes and how many entries they are. The next entry begins anew.
    pub(super) fn take(&mut self) -> (Vec<u8>, u32) {
        let Self { bytes, count, .. } = std::mem::take(self);
        (bytes, count)
    }

    /// Adds one.
    pub(super) fn add(&mut self, removal: &Removal<'_>) {
        if !self.run.as_ref().is_some_and(|context| context.is_of(removal)) {
            self.begin_run(removal);
        }
        let path = removal.path.as_deref().map(split);
        if let Some((folder, _)) = path
            && self.folder.as_deref() != Some(folder)
        {
            self.bytes.push(FOLDER);
            self.text(folder);
            self.folder = Some(folder.to_owned());
        }
        let kind = if path.is_some() { NAMED } else { COUNTED };
        self.bytes.push(kind | removal.action.number() << KIND_BITS);
        let at = nanos(removal.at);
        self.signed(at.wrapping_sub(self.at));
        self.at = at;
        match path {
            Some((_, name)) => self.text(name),
            None => self.number(removal.count),
        }
        self.number(removal.bytes);
        self.number(removal.inode.unwrap_or(0));
        self.reason(removal.reason.as_ref());
        self.count += 1;
    }

    fn begin_run(&mut self, removal: &Removal<'_>) {
        let Removal { run, policy, asked_by, trigger, .. } = removal;
        self.bytes.push(RUN);
        self.text(run.as_bytes());
        self.text(policy.as_bytes());
        self.text(asked_by.as_deref().unwrap_or_default().as_bytes());
        self.bytes.push(trigger_number(*trigger));
        self.run = Some(Context {
            run: run.to_string(),
            policy: policy.to_string(),
            asked_by: asked_by.as_ref().map(ToString::to_string),
            trigger: *trigger,
        });
    }

    fn reason(&mut self, reason: Option<&Reason<'_>>) {
        if self.reason.as_ref() == reason {
            self.bytes.push(SAME);
            return;
        }
        match reason {
            None => self.bytes.push(NONE),
            Some(Reason::Words(words)) => {
                self.bytes.push(WORDS);
                self.text(words.as_bytes());
            }
            Some(Reason::Judged(judged)) => {
                let (kind, age, span) = judged.parts();
                self.bytes.push(JUDGED | kind);
                self.span(age);
                if let Some(span) = span {
                    self.span(span);
                }
            }
        }
        self.reason = reason.cloned().map(Reason::into_owned);
    }

    /// Whole seconds, or milliseconds below one, which the lowest bit tells apart.
    fn span(&mut self, span: Duration) {
        self.number(match span.as_secs() {
            0 => u64::from(span.subsec_millis()) << 1 | 1,
            // The longest spans are some hundred billion years.
            seconds => seconds.min(u64::MAX >> 1) << 1,
        });
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text);
    }

    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

/// Calls back with each entry of a frame, in the order in which they were written. `None` when the bytes are not what an
/// [`Encoder`] writes; the entries before that were called for.
pub(super) fn decode<'a>(bytes: &'a [u8], each: &mut dyn FnMut(Removal<'a>)) -> Option<()> {
    let mut bytes = Bytes(bytes);
    let mut context = None;
    let mut folder: &[u8] = &[];
    let mut reason: Option<Reason<'a>> = None;
    let mut at = 0_i64;
    while let Some(tag) = bytes.byte() {
        match tag & ((1 << KIND_BITS) - 1) {
            RUN => {
                let (run, policy, asked_by) = (bytes.words()?, bytes.words()?, bytes.words()?);
                context = Some((run, policy, asked_by, trigger_of(bytes.byte()?)?));
            }
            FOLDER => folder = bytes.text()?,
            kind => {
                let (run, policy, asked_by, trigger) = context?;
                let action = Action::of(tag >> KIND_BITS)?;
                at = at.wrapping_add(bytes.signed()?);
                let (path, count) = match kind {
                    NAMED => (Some(Cow::Owned(joined(folder, bytes.text()?))), 1),
                    _ => (None, bytes.number()?),
                };
                let (size, inode) = (bytes.number()?, bytes.number()?);
                match bytes.byte()? {
                    SAME => {}
                    NONE => reason = None,
                    WORDS => reason = Some(Reason::Words(bytes.words()?.into())),
                    kind if kind & JUDGED != 0 => reason = Some(Reason::Judged(bytes.judged(kind & !JUDGED)?)),
                    _ => return None,
                }
                each(Removal {
                    at: moment(at),
                    run: Cow::Borrowed(run),
                    trigger,
                    asked_by: Some(asked_by).filter(|name| !name.is_empty()).map(Cow::Borrowed),
                    policy: Cow::Borrowed(policy),
                    action,
                    path,
                    count,
                    bytes: size,
                    inode: Some(inode).filter(|inode| *inode != 0),
                    reason: reason.clone(),
                });
            }
        }
    }
    Some(())
}

/// What is left of a frame.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }

    fn words(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text()?).ok()
    }

    fn judged(&mut self, kind: u8) -> Option<Judged> {
        let age = self.span()?;
        let span = if Judged::has_span(kind) { Some(self.span()?) } else { None };
        Judged::from_parts(kind, age, span)
    }

    fn span(&mut self) -> Option<Duration> {
        let number = self.number()?;
        Some(if number & 1 == 0 { Duration::from_secs(number >> 1) } else { Duration::from_millis(number >> 1) })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

/// The folder of a path and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    [folder, name].join(&b'/')
}

/// Nanoseconds since 1970, from 1677 to 2262; what lies beyond is written as one of the ends.
fn nanos(at: Moment) -> i64 {
    let nanos = at.unix_seconds().saturating_mul(1_000_000_000);
    nanos.saturating_add(i64::from(at.subsec_nanos()))
}

fn moment(nanos: i64) -> Moment {
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
    Moment::from_unix(nanos.div_euclid(1_000_000_000), rest)
}

/// As it is written. Appended to only.
const TRIGGERS: [Trigger; 6] =
    [Trigger::Manual, Trigger::Schedule, Trigger::Pressure, Trigger::Deadline, Trigger::Restore, Trigger::Reload];

fn trigger_number(trigger: Trigger) -> u8 {
    match trigger {
        Trigger::Manual => 0,
        Trigger::Schedule => 1,
        Trigger::Pressure => 2,
        Trigger::Deadline => 3,
        Trigger::Restore => 4,
        Trigger::Reload => 5,
    }
}

fn trigger_of(number: u8) -> Option<Trigger> {
    TRIGGERS.get(usize::from(number)).copied()
}
