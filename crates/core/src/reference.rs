//! Names that somebody still needs: the answer to the query of `keep_referenced`.
//!
//! Applications write down names in many ways: the bare name, a path below some folder, a URL. So only components are
//! compared: a candidate is needed when its last component stands anywhere in an answer. That keeps a namesake in another
//! folder too; a file too many stays, none too few.

use std::collections::HashSet;

use crate::candidate::Name;

/// The names that are still needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referenced(HashSet<Vec<u8>>);

impl Referenced {
    /// Adds one answer: a name, a path or a URL. What a URL carries behind `?` or `#` counts as well as the name
    /// without it.
    pub fn add(&mut self, answer: &[u8]) {
        for part in answer.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let bare = part.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or(part);
            if bare.len() < part.len() && !bare.is_empty() {
                self.0.insert(bare.to_vec());
            }
            self.0.insert(part.to_vec());
        }
    }

    /// Whether this is needed.
    pub fn contains(&self, name: Name<'_>) -> bool {
        !self.0.is_empty() && self.0.contains(name.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_needed_however_it_was_written_down() {
        let mut needed = Referenced::default();
        for answer in ["bare.svg", "storage/output/path.svg", "https://host/x/url.svg?v=1#top", ""] {
            needed.add(answer.as_bytes());
        }
        let is_needed = |last: &str| needed.contains(Name { folder: b"a/b", last: last.as_bytes() });
        for name in ["bare.svg", "path.svg", "url.svg"] {
            assert!(is_needed(name), "{name}");
        }
        assert!(!is_needed("other.svg") && !is_needed(""));
    }
}
