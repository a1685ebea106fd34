//! A glob compiled: the only matcher.
//!
//! A pattern matches **characters**, as in a shell whose locale is UTF-8: `?` and a set stand for one of them, however
//! many bytes it has. A name need not be UTF-8; each byte of it that belongs to no character counts as one by itself,
//! which only a wildcard or a negated set stands for. Neither `?` nor `*` nor a set ever stands for `/`.
//!
//! A program is the list of what the pattern takes, each with the places that may follow it. While it runs it is at
//! several places at once, so that no pattern takes long: at most its length times that of the name, without going back.
//! With the first name a [`Table`] is made of all the sets of places that it can be at, unless these are too many.

use std::sync::OnceLock;

use super::glob::Token;
use super::table::Table;

/// A character of a name: its code point, or above all of them a byte that belongs to no character.
pub(super) type Char = u32;

/// Where the bytes that belong to no character lie: above all code points.
pub(super) const BYTES: Char = 0x11_0000;
pub(super) const SLASH: Char = '/' as Char;
pub(super) const DOT: Char = '.' as Char;

/// More steps from place to place than any pattern needs that somebody has written by hand.
const MOST_STEPS: usize = 1 << 20;

/// Whether a wildcard may stand for a dot at the beginning of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dots {
    /// It may.
    Match,
    /// It may not: only a dot of the pattern itself does.
    Leave,
}

/// A glob to match names with.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// What is taken at each place. Behind the last one is the end.
    places: Box<[Place]>,
    /// Where it begins.
    first: Box<[u32]>,
    /// Where it goes on after each place, one after the other.
    next: Box<[u32]>,
    /// The same as a table, once it was asked for; `None` where that would be too large.
    table: OnceLock<Option<Box<Table>>>,
}

#[derive(Clone, Debug)]
struct Place {
    takes: Takes,
    /// Where its part of `next` ends; it begins where that of the place before it ends.
    next_end: u32,
}

#[derive(Clone, Debug)]
enum Takes {
    Char(Char),
    /// One character, but no `/`.
    Other,
    /// One character, even `/`.
    Deep,
    /// One of these, or none of them, but no `/`.
    Class {
        negated: bool,
        ranges: Box<[(Char, Char)]>,
    },
}

/// A part of a program.
struct Part {
    first: Vec<u32>,
    last: Vec<u32>,
    /// Whether it also takes nothing at all.
    is_optional: bool,
}

impl Program {
    /// `None` when it would be larger than any pattern needs to be.
    pub(super) fn new(tokens: &[Token]) -> Option<Self> {
        let mut builder = Builder { places: Vec::new(), next: Vec::new(), left: MOST_STEPS };
        let all = builder.sequence(tokens)?;
        let end = u32::try_from(builder.places.len()).ok()?;
        builder.go_on(&all.last, &[end])?;
        let first = all.first.into_iter().chain(all.is_optional.then_some(end)).collect();
        let mut next_end = 0;
        let places = builder.places.into_iter().zip(&builder.next).map(|(takes, next)| {
            next_end += u32::try_from(next.len()).ok()?;
            Some(Place { takes, next_end })
        });
        let places = places.collect::<Option<_>>()?;
        Some(Self { places, first, next: builder.next.concat().into(), table: OnceLock::new() })
    }

    /// Whether it matches all of a path that is given in parts. A part ends where a character ends.
    pub(super) fn matches(&self, parts: &[&[u8]], dots: Dots) -> bool {
        match self.table.get_or_init(|| Table::new(self).map(Box::new)) {
            Some(table) => table.matches(parts, dots),
            None => self.matches_by_place(parts, dots),
        }
    }

    /// The same without a table.
    pub(super) fn matches_by_place(&self, parts: &[&[u8]], dots: Dots) -> bool {
        self.run(parts, dots).is_some_and(|here| self.is_at_end(&here))
    }

    /// Whether it can match anything in a folder.
    pub(super) fn leads_into(&self, folder: &[u8], dots: Dots) -> bool {
        let end = self.places.len();
        self.run(&[folder, b"/"], dots).is_some_and(|here| ones(&here).any(|at| at != end))
    }

    /// The places at which it is after a path; `None` when there are none.
    fn run(&self, parts: &[&[u8]], dots: Dots) -> Option<Vec<u64>> {
        let mut here = self.begin();
        let mut there = here.clone();
        let mut begins = true;
        for part in parts {
            for character in characters(part) {
                let is_left = begins && character == DOT && dots == Dots::Leave;
                if !self.step(&here, &mut there, character, is_left) {
                    return None;
                }
                std::mem::swap(&mut here, &mut there);
                begins = character == SLASH;
            }
        }
        Some(here)
    }

    /// The places at which it begins, a bit each.
    pub(super) fn begin(&self) -> Vec<u64> {
        let mut here = vec![0; self.places.len() / 64 + 1];
        add(&mut here, &self.first);
        here
    }

    /// From the places `here` to those `there` by one character; `false` when there are none. `is_left` of a dot that no
    /// wildcard stands for.
    pub(super) fn step(&self, here: &[u64], there: &mut [u64], character: Char, is_left: bool) -> bool {
        there.fill(0);
        let mut is_anywhere = false;
        for at in ones(here) {
            if self.places.get(at).is_some_and(|place| place.takes.takes(character, is_left)) {
                add(there, self.next(at));
                is_anywhere = true;
            }
        }
        is_anywhere
    }

    /// Whether all of the pattern was taken at one of these places.
    pub(super) fn is_at_end(&self, here: &[u64]) -> bool {
        let end = self.places.len();
        here[end / 64] & (1 << (end % 64)) != 0
    }

    /// Every first and every last character that something in it tells apart from its neighbour.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (Char, Char)> + '_ {
        self.places.iter().flat_map(|place| match &place.takes {
            Takes::Char(own) => vec![(*own, *own)],
            Takes::Other | Takes::Deep => Vec::new(),
            Takes::Class { ranges, .. } => ranges.to_vec(),
        })
    }

    fn next(&self, at: usize) -> &[u32] {
        let begin = at.checked_sub(1).map_or(0, |before| self.places[before].next_end);
        &self.next[begin as usize..self.places[at].next_end as usize]
    }
}

/// Adds places to those that are marked.
fn add(words: &mut [u64], places: &[u32]) {
    for place in places {
        words[(place / 64) as usize] |= 1 << (place % 64);
    }
}

impl Takes {
    /// `is_left` of a dot that no wildcard stands for.
    fn takes(&self, character: Char, is_left: bool) -> bool {
        match self {
            Self::Char(own) => *own == character,
            Self::Other => character != SLASH && !is_left,
            Self::Deep => !is_left,
            Self::Class { negated, ranges } => {
                let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
                is_in != *negated && character != SLASH && !is_left
            }
        }
    }
}

/// Which bits are set.
fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(word, bits)| {
        let others = |bits: &u64| Some(bits & (bits - 1)).filter(|bits| *bits != 0);
        let all = std::iter::successors(Some(*bits).filter(|bits| *bits != 0), others);
        all.map(move |bits| word * 64 + bits.trailing_zeros() as usize)
    })
}

/// The characters of a name.
pub(super) fn characters(name: &[u8]) -> impl Iterator<Item = Char> + '_ {
    Chars { rest: name }
}

struct Chars<'a> {
    rest: &'a [u8],
}

impl Iterator for Chars<'_> {
    type Item = Char;

    fn next(&mut self) -> Option<Char> {
        let (&first, rest) = self.rest.split_first()?;
        if first < 0x80 {
            self.rest = rest;
            return Some(first.into());
        }
        let length = match first {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let text = self.rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let Some(character) = text.and_then(|text| text.chars().next()) {
            self.rest = &self.rest[length..];
            return Some(character.into());
        }
        self.rest = rest;
        Some(BYTES | Char::from(first))
    }
}

struct Builder {
    places: Vec<Takes>,
    next: Vec<Vec<u32>>,
    /// How many more steps there may be.
    left: usize,
}

impl Builder {
    fn sequence(&mut self, tokens: &[Token]) -> Option<Part> {
        let mut all = Part { first: Vec::new(), last: Vec::new(), is_optional: true };
        for (index, token) in tokens.iter().enumerate() {
            // Two of them take what one takes.
            if *token == Token::Star && index > 0 && tokens[index - 1] == Token::Star {
                continue;
            }
            let part = self.token(token)?;
            self.go_on(&all.last, &part.first)?;
            if all.is_optional {
                all.first.extend(&part.first);
            }
            if !part.is_optional {
                all.last.clear();
            }
            all.last.extend(part.last);
            all.is_optional &= part.is_optional;
        }
        Some(all)
    }

    fn token(&mut self, token: &Token) -> Option<Part> {
        match token {
            Token::Literal(character) => self.one(Takes::Char((*character).into())),
            Token::Any => self.one(Takes::Other),
            Token::Class { negated, ranges } => {
                let ranges = ranges.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect();
                self.one(Takes::Class { negated: *negated, ranges })
            }
            Token::Star => self.any_number_of(Takes::Other),
            Token::Deep => self.any_number_of(Takes::Deep),
            Token::Folders => {
                let below = self.any_number_of(Takes::Deep)?;
                let slash = self.one(Takes::Char(SLASH))?;
                self.go_on(&below.last, &slash.first)?;
                Some(Part { first: [below.first, slash.first].concat(), last: slash.last, is_optional: true })
            }
            Token::Either(branches) => {
                let mut all = Part { first: Vec::new(), last: Vec::new(), is_optional: false };
                for branch in branches {
                    let part = self.sequence(branch)?;
                    all.first.extend(part.first);
                    all.last.extend(part.last);
                    all.is_optional |= part.is_optional;
                }
                Some(all)
            }
        }
    }

    fn one(&mut self, takes: Takes) -> Option<Part> {
        let place = u32::try_from(self.places.len()).ok()?;
        self.places.push(takes);
        self.next.push(Vec::new());
        Some(Part { first: vec![place], last: vec![place], is_optional: false })
    }

    fn any_number_of(&mut self, takes: Takes) -> Option<Part> {
        let one = self.one(takes)?;
        self.go_on(&one.last, &one.first)?;
        Some(Part { is_optional: true, ..one })
    }

    fn go_on(&mut self, from: &[u32], to: &[u32]) -> Option<()> {
        self.left = self.left.checked_sub(from.len().checked_mul(to.len())?)?;
        for place in from {
            self.next[*place as usize].extend(to);
        }
        Some(())
    }
}
