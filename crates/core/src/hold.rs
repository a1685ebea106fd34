//! Holds: paths that are kept for a time, whatever their age.

use std::collections::BTreeMap;

use crate::candidate::Name;
use crate::moment::Moment;

/// The holds of one root, by relative path. A held folder holds everything in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(BTreeMap<Vec<u8>, Moment>);

impl Holds {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a hold; of two on one path, the longer one counts. The empty path is the root itself.
    pub fn add(&mut self, path: Vec<u8>, until: Moment) {
        let held = self.0.entry(path).or_insert(until);
        *held = until.max(*held);
    }

    /// Until when this name is held, by its own hold or one of a folder above.
    pub fn until(&self, name: Name<'_>) -> Option<Moment> {
        if self.0.is_empty() {
            return None;
        }
        let path = name.to_bytes();
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| &path[..end]);
        [b"".as_slice(), &path].into_iter().chain(folders).filter_map(|path| self.0.get(path)).max().copied()
    }

    /// Whether something below this folder is held, so the folder must stay too.
    pub fn below(&self, name: Name<'_>) -> Option<Moment> {
        if self.0.is_empty() {
            return None;
        }
        let mut start = name.to_bytes();
        start.push(b'/');
        let below = self.0.range(start.clone()..).take_while(|(path, _)| path.starts_with(&start));
        below.map(|(_, until)| *until).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_folder_holds_everything_in_it() {
        let (soon, later) = (Moment::from_unix(10, 0), Moment::from_unix(20, 0));
        let mut holds = Holds::default();
        assert_eq!(holds.until(Name { folder: b"a", last: b"x" }), None);
        assert!(holds.is_empty());
        holds.add(b"a/b".to_vec(), later);
        assert!(!holds.is_empty());
        holds.add(b"a/b/x".to_vec(), soon);
        assert_eq!(holds.until(Name { folder: b"a/b/c", last: b"x" }), Some(later));
        assert_eq!(holds.until(Name { folder: b"a/b", last: b"x" }), Some(later), "the longer one counts");
        assert_eq!(holds.until(Name { folder: b"a", last: b"b" }), Some(later));
        assert_eq!(holds.until(Name { folder: b"a", last: b"bc" }), None);
        assert_eq!(holds.below(Name { folder: b"", last: b"a" }), Some(later));
        assert_eq!(holds.below(Name { folder: b"", last: b"b" }), None);
    }
}
