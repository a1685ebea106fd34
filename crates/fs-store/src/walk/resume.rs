//! Where a walk was stopped, for the next one to go on from there.
//!
//! A [`ResumePoint`] names what was next. It never opens anything: the next walk reads the names that are there, as always,
//! and compares them with it. A position that is out of date costs a second look at some entries, or leaves some for the
//! walk after this one; it cannot lead anywhere else.

use std::fmt;

use cleanup_core::candidate::Name;

/// What was next when a walk was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// A folder, by its path below the root; empty for the root itself.
    pub folder: Vec<u8>,
    /// Which of its entries was next, while none of its folders had been entered. `None` is the whole folder.
    pub place: Option<Place>,
}

/// An entry of a folder, and where in the folder it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: Vec<u8>,
    /// What `getdents64` gave with the entry before it. On most file systems it leads there on another day too, whatever
    /// has gone meanwhile; it counts where the name is right, or is gone.
    pub cookie: u64,
}

impl ResumePoint {
    /// A whole folder or, with `unit = "directory"`, a whole directory.
    pub(crate) fn whole(name: Name<'_>) -> Self {
        Self { folder: name.to_bytes(), place: None }
    }

    /// The name of the folder right below this one that leads there.
    pub(crate) fn below(&self, folder: &[u8]) -> Option<&[u8]> {
        let rest = self.folder.strip_prefix(folder)?;
        let rest = if folder.is_empty() { rest } else { rest.strip_prefix(b"/")? };
        rest.split(|byte| *byte == b'/').next().filter(|name| !name.is_empty())
    }
}

/// Its path, as reports show paths.
impl fmt::Display for ResumePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => Name { folder: &self.folder, last: &place.name }.fmt(f),
            None => Name { folder: b"", last: &self.folder }.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_followed_a_name_at_a_time() {
        let position = ResumePoint { folder: b"a/bc/d".to_vec(), place: None };
        assert_eq!(position.below(b""), Some(b"a".as_slice()));
        assert_eq!(position.below(b"a"), Some(b"bc".as_slice()));
        assert_eq!(position.below(b"a/bc"), Some(b"d".as_slice()));
        for elsewhere in [b"a/b".as_slice(), b"a/bc/d", b"b", b"a/"] {
            assert_eq!(position.below(elsewhere), None, "{elsewhere:?}");
        }
        for nonsense in [b"".as_slice(), b"/", b"//a"] {
            assert_eq!(ResumePoint { folder: nonsense.to_vec(), place: None }.below(b""), None, "{nonsense:?}");
        }
    }
}
