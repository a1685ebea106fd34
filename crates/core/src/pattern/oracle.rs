//! What a pattern means, written down a second time as plainly as possible: the text itself is tried against the name,
//! character by character, and every choice by going back. Slow, and for tests alone.

use super::program::Dots;

/// The characters of a name, and each byte that belongs to none.
pub(super) fn characters(name: &[u8]) -> Vec<Result<char, u8>> {
    let chunks = name.utf8_chunks();
    chunks.flat_map(|chunk| chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().copied().map(Err))).collect()
}

/// Whether a pattern whose syntax is right matches all of a name.
pub(super) fn matches(pattern: &str, name: &[u8], dots: Dots) -> bool {
    let pattern: Vec<Piece> = pattern.chars().map(Piece::Text).collect();
    Oracle { name: &characters(name), dots }.at(&pattern, Before::Begin, 0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text(char),
    /// An alternative of braces begins.
    Begin,
    /// It ends.
    End,
}

/// What stands before a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, in the pattern or in the alternative.
    Begin,
    Slash,
    Other,
}

struct Oracle<'a> {
    name: &'a [Result<char, u8>],
    dots: Dots,
}

impl Oracle<'_> {
    fn at(&self, pattern: &[Piece], before: Before, place: usize) -> bool {
        use Piece::Text;
        let begins = before != Before::Other;
        match pattern {
            [] => place == self.name.len(),
            [Piece::Begin, rest @ ..] => self.at(rest, Before::Begin, place),
            [Piece::End, rest @ ..] => self.at(rest, Before::Other, place),
            [Text('{'), rest @ ..] => {
                let (alternatives, rest) = alternatives(rest);
                alternatives.iter().any(|alternative| {
                    self.at(&[&[Piece::Begin], *alternative, &[Piece::End], rest].concat(), before, place)
                })
            }
            [Text('['), rest @ ..] => {
                let (set, rest) = set(rest);
                self.is_wild(place) && set.holds(self.name[place]) && self.at(rest, Before::Other, place + 1)
            }
            [Text('*'), Text('*'), Text('/'), rest @ ..] if begins => {
                let folders = (place..self.name.len()).take_while(|at| self.may_pass(*at));
                let slashes = folders.filter(|at| self.name[*at] == Ok('/'));
                self.at(rest, Before::Slash, place)
                    || slashes.map(|at| at + 1).any(|at| self.at(rest, Before::Slash, at))
            }
            [Text('*'), Text('*')] if begins => (place..self.name.len()).all(|at| self.may_pass(at)),
            [Text('*'), Text('*'), rest @ ..] if before == Before::Slash && rest.first() == Some(&Piece::End) => {
                let mut ends = (place..self.name.len()).take_while(|at| self.may_pass(*at));
                self.at(rest, Before::Other, place) || ends.any(|at| self.at(rest, Before::Other, at + 1))
            }
            [Text('*'), rest @ ..] => {
                // The second of two has nothing to add.
                let rest = rest.strip_prefix(&[Text('*')]).unwrap_or(rest);
                self.at(rest, Before::Other, place)
                    || (self.is_wild(place) && self.at(pattern, Before::Other, place + 1))
            }
            [Text('?'), rest @ ..] => self.is_wild(place) && self.at(rest, Before::Other, place + 1),
            [Text('\\'), Text(own), rest @ ..] | [Text(own), rest @ ..] => {
                let before = if *own == '/' { Before::Slash } else { Before::Other };
                self.name.get(place) == Some(&Ok(*own)) && self.at(rest, before, place + 1)
            }
        }
    }

    /// Whether a wildcard may stand for what is there.
    fn is_wild(&self, place: usize) -> bool {
        place < self.name.len() && self.name[place] != Ok('/') && self.may_pass(place)
    }

    /// Whether `**` may.
    fn may_pass(&self, place: usize) -> bool {
        let begins = place == 0 || self.name[place - 1] == Ok('/');
        !(self.dots == Dots::Leave && begins && self.name[place] == Ok('.'))
    }
}

/// The alternatives of braces that have been opened, and what follows.
fn alternatives(pattern: &[Piece]) -> (Vec<&[Piece]>, &[Piece]) {
    let (mut all, mut begin, mut at, mut depth) = (Vec::new(), 0, 0, 0);
    loop {
        match pattern[at] {
            Piece::Text('\\') => at += 1,
            Piece::Text('[') => at = pattern.len() - set(&pattern[at + 1..]).1.len() - 1,
            Piece::Text('{') => depth += 1,
            Piece::Text('}') if depth > 0 => depth -= 1,
            Piece::Text('}') => {
                all.push(&pattern[begin..at]);
                return (all, &pattern[at + 1..]);
            }
            Piece::Text(',') if depth == 0 => {
                all.push(&pattern[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
}

struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn holds(&self, character: Result<char, u8>) -> bool {
        let is_in = |character| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
        character.is_ok_and(is_in) != self.negated
    }
}

/// A set whose bracket has been opened, and what follows.
fn set(pattern: &[Piece]) -> (Set, &[Piece]) {
    let negated = matches!(pattern.first(), Some(Piece::Text('!' | '^')));
    let pattern = &pattern[usize::from(negated)..];
    let end = 1 + pattern.iter().skip(1).position(|piece| *piece == Piece::Text(']')).expect("the syntax is right");
    let texts: Vec<char> = pattern[..end]
        .iter()
        .filter_map(|piece| if let Piece::Text(text) = piece { Some(*text) } else { None })
        .collect();
    let (mut ranges, mut rest) = (Vec::new(), texts.as_slice());
    while let [from, more @ ..] = rest {
        (ranges, rest) = match more {
            ['-', to, more @ ..] => ([ranges, vec![(*from, *to)]].concat(), more),
            more => ([ranges, vec![(*from, *from)]].concat(), more),
        };
    }
    (Set { negated, ranges }, &pattern[end + 1..])
}
