//! A [`Program`] as a table: from one set of places to the next by one look, whatever the pattern.

use std::collections::HashMap;

use super::program::{BYTES, Char, DOT, Dots, Program, SLASH, characters};

/// So many entries are made: 64 KiB.
const MOST_ENTRIES: usize = 1 << 15;

/// All sets of places that a program can be at, numbered: 0 is none, and 1 is where it begins.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The first character of each kind: all of a kind are taken alike.
    kinds: Vec<Char>,
    /// The kinds of the characters of ASCII.
    ascii: [u8; 128],
    /// Where each set goes by each kind. One kind more is a dot that no wildcard stands for.
    next: Vec<u16>,
    /// Of which sets all of the pattern was taken.
    is_end: Vec<bool>,
}

impl Table {
    /// `None` when it would be too large.
    pub(super) fn new(program: &Program) -> Option<Self> {
        let mut kinds = vec![0, DOT, DOT + 1, SLASH, SLASH + 1, BYTES];
        kinds.extend(program.bounds().flat_map(|(first, last)| [first, last + 1]));
        kinds.sort_unstable();
        kinds.dedup();
        let kind_of = |character: u8| u8::try_from(kind(&kinds, character.into())).ok();
        let mut ascii = [0; 128];
        for (character, of) in (0..).zip(&mut ascii) {
            *of = kind_of(character)?;
        }

        let begin = program.begin();
        let mut there = begin.clone();
        let mut numbers = HashMap::from([(vec![0; begin.len()], 0), (begin.clone(), 1)]);
        let mut sets = vec![vec![0; begin.len()], begin];
        let mut next = vec![0; kinds.len() + 1];
        let mut at = 1;
        while let Some(here) = sets.get(at).cloned() {
            if next.len() > MOST_ENTRIES {
                return None;
            }
            let by_kind = kinds.iter().map(|first| (*first, false)).chain([(DOT, true)]);
            for (character, is_left) in by_kind {
                program.step(&here, &mut there, character, is_left);
                let new = u16::try_from(sets.len()).ok()?;
                let number = *numbers.entry(there.clone()).or_insert(new);
                if number == new {
                    sets.push(there.clone());
                }
                next.push(number);
            }
            at += 1;
        }
        let is_end = sets.iter().map(|set| program.is_at_end(set)).collect();
        Some(Self { kinds, ascii, next, is_end })
    }

    pub(super) fn matches(&self, parts: &[&[u8]], dots: Dots) -> bool {
        let width = self.kinds.len() + 1;
        let (mut set, mut begins) = (1, true);
        for part in parts {
            for character in characters(part) {
                let kind = if character == DOT && begins && dots == Dots::Leave {
                    self.kinds.len()
                } else if let Some(kind) = usize::try_from(character).ok().and_then(|at| self.ascii.get(at)) {
                    usize::from(*kind)
                } else {
                    kind(&self.kinds, character)
                };
                set = usize::from(self.next[set * width + kind]);
                if set == 0 {
                    return false;
                }
                begins = character == SLASH;
            }
        }
        self.is_end[set]
    }
}

/// The kind of a character: the last one that begins before it, or with it.
fn kind(kinds: &[Char], character: Char) -> usize {
    kinds.partition_point(|first| *first <= character).saturating_sub(1)
}
