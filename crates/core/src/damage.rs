//! Damages bytes in the ways of disks, crashes and editors, for tests of whoever reads bytes that were written earlier.
//!
//! It is deterministic: a test draws [`Blow`]s at random and keeps those that found something.

/// One damage: what happens, where, and how much of it. Any numbers do.
pub type Blow = (u8, u32, u32);

/// Numbers that no counter and no clock reaches.
const HUGE: [&str; 6] =
    ["18446744073709551616", "-9223372036854775809", "1e400", "99999999999999999999999999", "-0", "4294967296"];

/// What no text holds, and what few expect in one.
const STRANGE: [&[u8]; 8] =
    [b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\r", b"\n\n", b"\xe2\x80\xae", b"\\u0000\\ud800"];

/// The bytes after all of these.
pub fn damaged(bytes: &[u8], blows: &[Blow]) -> Vec<u8> {
    blows.iter().fold(bytes.to_vec(), |bytes, blow| struck(bytes, *blow))
}

fn struck(mut bytes: Vec<u8>, (kind, at, size): Blow) -> Vec<u8> {
    if bytes.is_empty() {
        return STRANGE[index(size, STRANGE.len())].to_vec();
    }
    let place = index(at, bytes.len());
    let end = bytes.len().min(place + 1 + index(size, 64));
    match kind % 12 {
        0 => bytes[place] ^= 1 << (size % 8),
        1 => bytes.truncate(place),
        kind @ 2..=5 => {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (one, other) = (index(at, lines.len()), index(size, lines.len()));
            match kind {
                2 => lines.insert(other, lines[one]),
                3 => lines.swap(one, other),
                4 => drop(lines.remove(one)),
                _ => lines[one] = lines[other],
            }
            return lines.concat();
        }
        // The next number from there.
        6 => {
            let begin = bytes[place..].iter().position(u8::is_ascii_digit).map_or(place, |offset| place + offset);
            let digits = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            drop(bytes.splice(begin..begin + digits, HUGE[index(size, HUGE.len())].bytes()));
        }
        7 => drop(bytes.splice(place..place, STRANGE[index(size, STRANGE.len())].iter().copied())),
        8 => bytes[place..end].fill(0),
        9 => drop(bytes.drain(place..end)),
        10 => {
            let piece = bytes[place..end].to_vec();
            drop(bytes.splice(place..place, piece));
        }
        _ => bytes[place] = size.to_le_bytes()[0],
    }
    bytes
}

/// A number below a length, which is not zero.
fn index(number: u32, length: usize) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX) % length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_deterministic_and_never_fails(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            blows in prop::collection::vec(any::<Blow>(), 0..5),
        ) {
            prop_assert_eq!(damaged(&bytes, &blows), damaged(&bytes, &blows));
        }
    }

    #[test]
    fn every_kind_changes_something() {
        for kind in 0..12 {
            assert_ne!(damaged(b"one 1\ntwo 2\nthree 3\n", &[(kind, 1, 5)]), b"one 1\ntwo 2\nthree 3\n", "{kind}");
        }
    }
}
