//! Names that are still needed: the result of the `keep_referenced` query.
//!
//! Applications store names in many ways: the bare name, a path relative to some folder, a URL. So only components are
//! compared: a candidate is needed if its last component occurs anywhere in a value. This also keeps a file of the same
//! name in another folder, which is the safer error.

use std::collections::HashMap;

use crate::candidate::Name;

/// The names that are still needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referenced {
    /// Every component of every value, and whether a value ends with it.
    components: HashMap<Vec<u8>, bool>,
    distinct: u64,
}

impl Referenced {
    /// Adds one value: a name, a path or a URL. The last component of a URL counts with and without what follows `?` or
    /// `#`.
    pub fn add(&mut self, answer: &[u8]) {
        let mut parts = answer.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let bare = part.split(|byte| matches!(byte, b'?' | b'#')).next().filter(|bare| !bare.is_empty());
            if bare.is_some_and(|bare| bare.len() < part.len()) {
                self.components.entry(part.to_vec()).or_default();
            }
            let ends_one = self.components.entry(bare.unwrap_or(part).to_vec()).or_default();
            if is_last && !std::mem::replace(ends_one, true) {
                self.distinct += 1;
            }
        }
    }

    /// The number of distinct names. A name that was returned in several forms counts once, and an empty value does not
    /// count.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Whether this is needed.
    pub fn contains(&self, name: Name<'_>) -> bool {
        !self.components.is_empty() && self.components.contains_key(name.last)
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

    #[test]
    fn an_answer_counts_once_in_whatever_form_and_order() {
        let answers = ["a.svg", "x/a.svg", "/x/a.svg?v=1", "a.svg", "", "/", "x", "b.svg#top", "b.svg", "?", "y/x"];
        for turn in 0..answers.len() {
            let mut needed = Referenced::default();
            answers.iter().cycle().skip(turn).take(answers.len()).for_each(|answer| needed.add(answer.as_bytes()));
            assert_eq!(needed.distinct(), 4, "a.svg, x, b.svg, ?");
        }
        assert_eq!(Referenced::default().distinct(), 0);
    }
}
