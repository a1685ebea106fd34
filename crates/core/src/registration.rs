//! Registrations: files that count from when they were told of, and perhaps for a time of their own.

use std::collections::BTreeMap;

use crate::candidate::Name;
use crate::moment::Moment;
use crate::policy::MaxAge;

/// Since when a file counts, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// When it was registered. A file that was written later counts from then.
    pub at: Moment,
    /// A time of its own, from `at`, that neither the policy's `max_age` nor a later write changes.
    ///
    /// A file that was written after that time is another file: what was registered would have been gone.
    pub ttl: Option<MaxAge>,
}

impl Registration {
    /// From when the age of a file counts that is stamped so.
    pub fn counts_from(&self, stamp: Moment) -> Moment {
        if self.ttl.is_some() { self.at } else { self.at.max(stamp) }
    }
}

/// The registrations that concern one root, by path below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations(BTreeMap<Vec<u8>, Registration>);

impl Registrations {
    /// Adds a registration; of two for one path a ttl wins, and of two alike the later.
    pub fn add(&mut self, path: Vec<u8>, registration: Registration) {
        let known = self.0.entry(path).or_insert(registration);
        if (registration.ttl.is_some(), registration.at) >= (known.ttl.is_some(), known.at) {
            *known = registration;
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
