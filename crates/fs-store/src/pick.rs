//! Some files of a store, by their paths: for deadlines, and for what was seen to appear.
//!
//! They are offered as the walk would offer them, and removed by the same hand. A path that the walk would not come to
//! (no pattern names it, it lies behind a link, on another mount, too deep) is passed over without a word, like one that
//! is gone: whoever picks knows which paths it asked for.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::policy::Unit;
use cleanup_core::store::{Fault, FileStore, Seen, Visitor};

use crate::Store;
use crate::entry::needs;
use crate::look::{Look, c_name, open_folder};
use crate::read::{Looked, look_at};
use crate::remove::Files;
use crate::units;

/// How many names are looked at, judged and acted on together.
const BATCH: usize = 1024;

/// Some files of a store.
#[derive(Debug)]
pub struct Picked<'a> {
    store: &'a Store<'a>,
    /// In order, so that those of one folder lie together.
    paths: Vec<&'a [u8]>,
}

impl<'a> Picked<'a> {
    pub(crate) fn new(store: &'a Store<'a>, paths: &[&'a [u8]]) -> Self {
        let mut paths = paths.to_vec();
        paths.sort_unstable_by_key(|path| folder_and_name(path));
        paths.dedup();
        Self { store, paths }
    }

    /// Offers whole directories directly below the root.
    fn offer_units(&self, visitor: &dyn Visitor) {
        let Ok(root) = self.store.root.reopen() else { return };
        for path in self.paths.iter().filter(|path| !path.contains(&b'/')) {
            visitor.seen(Seen { scanned: 1, ..Seen::default() });
            let Ok(name) = c_name(path) else { continue };
            if units::offer_one(self.store, visitor, root.as_fd(), &name).is_break() {
                return;
            }
        }
    }

    /// Offers files of one folder.
    fn offer_folder(&self, visitor: &dyn Visitor, folder: &[u8], names: &[&[u8]]) -> ControlFlow<()> {
        let policy = self.store.policy;
        let depth = folder.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
        if u32::try_from(depth).is_ok_and(|depth| depth >= policy.depth.0) {
            return ControlFlow::Continue(());
        }
        let dir = match open_folder(self.store, folder) {
            Ok(dir) => dir,
            Err(Look::Unreadable(error)) => {
                for last in names {
                    visitor.fault(Fault { name: Name { folder, last }, error: &error });
                }
                return ControlFlow::Continue(());
            }
            Err(_) => return ControlFlow::Continue(()),
        };

        let asked = needs(policy.stamp);
        let classed = |last: &&[u8]| -> Option<(CString, Class)> {
            let name = Name { folder, last };
            let class = policy.patterns.class(name).filter(|_| !policy.patterns.excludes(name))?;
            Some((c_name(last).ok()?, class))
        };
        let meant: Vec<_> = names.iter().filter_map(classed).collect();
        let mut counted = Seen { scanned: names.len() as u64, ..Seen::default() };
        let mut files = Vec::with_capacity(meant.len());
        for (name, class) in &meant {
            match look_at(self.store, dir.as_fd(), name, *class, asked) {
                Looked::Candidate(file) => files.push(file),
                Looked::Vanished => counted.vanished += 1,
                Looked::LeftAlone => counted.left_alone += 1,
                Looked::Unknown(error) => {
                    visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
                }
            }
        }
        visitor.seen(counted);
        if files.is_empty() {
            return ControlFlow::Continue(());
        }
        visitor.batch(&mut Files {
            store: self.store,
            dir: dir.as_fd(),
            folder,
            needs: asked,
            entries: &files,
            gone: 0,
        })
    }
}

impl FileStore for Picked<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        if self.store.policy.unit == Unit::Directory {
            return self.offer_units(visitor);
        }
        for same in self.paths.chunk_by(|a, b| folder_and_name(a).0 == folder_and_name(b).0) {
            for batch in same.chunks(BATCH) {
                let names: Vec<_> = batch.iter().map(|path| folder_and_name(path).1).collect();
                if self.offer_folder(visitor, folder_and_name(batch[0]).0, &names).is_break() {
                    return;
                }
            }
        }
    }
}

fn folder_and_name(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
