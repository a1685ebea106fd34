//! Registrations: files whose age counts from their registration, some with their own time to live.

use std::collections::BTreeMap;

use crate::candidate::Name;
use crate::moment::Moment;
use crate::policy::MaxAge;

/// The start of a file's age, and its time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// When it was registered. If the file is written later, its age counts from then.
    pub at: Moment,
    /// Its own time to live, from `at`, which neither the policy's `max_age` nor a later write changes.
    ///
    /// A file that was written after that time is another file, because the registered one would have been removed.
    pub ttl: Option<MaxAge>,
}

impl Registration {
    /// The start of the age of a file with this timestamp.
    pub fn counts_from(&self, stamp: Moment) -> Moment {
        if self.ttl.is_some() { self.at } else { self.at.max(stamp) }
    }

    /// Whether this one takes precedence, of two for the same path.
    pub fn supersedes(self, other: Self) -> bool {
        (self.at, self.ttl.is_some()) >= (other.at, other.ttl.is_some())
    }
}

/// The registrations of one root, by relative path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations(BTreeMap<Vec<u8>, Registration>);

impl Registrations {
    /// Whether nothing counts from a registration.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a registration; of two for one path the later one counts, and of two at the same moment the one with a ttl.
    pub fn add(&mut self, path: Vec<u8>, registration: Registration) {
        let known = self.0.entry(path).or_insert(registration);
        if registration.supersedes(*known) {
            *known = registration;
        }
    }

    /// Adds them all.
    pub fn join(&mut self, others: Self) {
        for (path, registration) in others.0 {
            self.add(path, registration);
        }
    }

    /// The registration of this very file.
    pub fn get(&self, name: Name<'_>) -> Option<Registration> {
        if self.0.is_empty() {
            return None;
        }
        match name.folder {
            b"" => self.0.get(name.last),
            _ => self.0.get(&name.to_bytes()),
        }
        .copied()
    }
}

impl FromIterator<(Vec<u8>, Registration)> for Registrations {
    fn from_iter<T: IntoIterator<Item = (Vec<u8>, Registration)>>(registrations: T) -> Self {
        let mut all = Self::default();
        for (path, registration) in registrations {
            all.add(path, registration);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_that_was_noticed_after_the_ttl_of_its_namesake_counts_from_then() {
        let at = |seconds| Moment::from_unix(seconds, 0);
        let ttl = Registration { at: at(10), ttl: MaxAge::new(Duration::from_secs(5)) };
        let (earlier, same, later) = [5, 10, 20].map(|seconds| Registration { at: at(seconds), ttl: None }).into();
        let name = Name { folder: b"", last: b"a" };
        for (other, wins) in [(earlier, ttl), (same, ttl), (later, later)] {
            for both in [[ttl, other], [other, ttl]] {
                let all: Registrations = both.map(|one| (b"a".to_vec(), one)).into_iter().collect();
                assert_eq!(all.get(name), Some(wins));
            }
        }
    }
}
