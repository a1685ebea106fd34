//! Many names in one piece of memory: those of a directory that wait to be looked at, or to be walked.

use std::ffi::CStr;

/// Names one behind the other, each ending in NUL, as system calls want them.
#[derive(Default)]
pub(crate) struct Names(Vec<u8>);

impl Names {
    pub(crate) fn push(&mut self, name: &CStr) {
        self.0.extend_from_slice(name.to_bytes_with_nul());
    }

    /// Takes the last name off.
    pub(crate) fn pop(&mut self) -> Option<std::ffi::CString> {
        let end = self.0.len().checked_sub(1)?;
        let start = self.0[..end].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        let name = self.0[start..end].to_owned();
        self.0.truncate(start);
        Some(std::ffi::CString::new(name).expect("names are split at NUL"))
    }

    /// Drops those behind this one, if it is among them; whether it is.
    pub(crate) fn end_at(&mut self, name: &[u8]) -> bool {
        let mut ends = self.0.split_inclusive(|byte| *byte == 0).scan(0, |end, found| {
            *end += found.len();
            Some((found, *end))
        });
        let Some((_, end)) = ends.find(|(found, _)| found.strip_suffix(b"\0") == Some(name)) else { return false };
        self.0.truncate(end);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_single(&self) -> bool {
        self.0.iter().position(|byte| *byte == 0).is_some_and(|end| end + 1 == self.0.len())
    }

    /// Takes the first half of the names off, as far as their lengths tell; a single one as a whole. Of several, some
    /// stay: whoever gave away all that he was given would only pass the work round.
    pub(crate) fn take_half(&mut self) -> Self {
        let last = self.0.len().saturating_sub(1);
        let (front, back) = self.0[..last].split_at(last / 2);
        let is_end = |byte: &u8| *byte == 0;
        let behind = back.iter().position(is_end).map(|end| front.len() + end);
        let end = behind.or_else(|| front.iter().rposition(is_end)).unwrap_or(last);
        let rest = self.0.split_off((end + 1).min(self.0.len()));
        Self(std::mem::replace(&mut self.0, rest))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &CStr> {
        self.0
            .split_inclusive(|byte| *byte == 0)
            .map(|name| CStr::from_bytes_with_nul(name).expect("every name ends in its only NUL"))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_several_names_is_never_all_of_them() {
        let halves = |names: &[&CStr]| {
            let mut rest = Names::default();
            for name in names {
                rest.push(name);
            }
            let half = rest.take_half();
            (half.iter().count(), rest.iter().count())
        };
        assert_eq!(halves(&[]), (0, 0));
        assert_eq!(halves(&[c"single"]), (1, 0));
        assert_eq!(halves(&[c"a", c"long enough to be half"]), (1, 1));
        assert_eq!(halves(&[c"long enough to be half", c"a"]), (1, 1));
        assert_eq!(halves(&[c"a", c"b", c"c", c"d"]), (2, 2));
    }

    #[test]
    fn names_end_at_one_of_them_or_stay_as_they_are() {
        let mut names = Names::default();
        for name in [c"ab", c"a", c"b"] {
            names.push(name);
        }
        assert!(!names.end_at(b"") && !names.end_at(b"c"));
        assert_eq!(names.iter().count(), 3);
        assert!(names.end_at(b"a"));
        assert_eq!(names.iter().collect::<Vec<_>>(), [c"ab", c"a"]);
    }
}
