//! What other policies claim in a directory that would go whole.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use cleanup_core::candidate::Name;
use cleanup_core::owner::{Claim, Ground};

use crate::select::classify::{Classified, claimed as in_words};
use crate::sys::entry::{self, FileId, Meta};
use crate::tree::Tree;
use crate::walk::descent::{Descent, Step};

/// The first thing in a directory directly below the root for whose sake all of it stays; `None` when there is none.
///
/// The directory is gone through only where others may claim anything in it, or where it `cannot_go` for a reason that
/// may be this one. To be asked after the look that says what the directory comes to: what changes after that look is
/// noticed when it is compared with the next one.
pub(crate) fn claimed(
    tree: &Tree<'_>,
    root: BorrowedFd<'_>,
    name: &CStr,
    cannot_go: bool,
) -> Option<(Claim, Classified)> {
    let rivals = tree.rivals.as_ref()?;
    if !cannot_go && !rivals.reach_into(name.to_bytes()) {
        return None;
    }
    // What cannot be opened cannot go either, and whoever looked at it has said so.
    let dir = entry::open_dir(root, name).ok()?;
    let mut claiming = Claiming { tree, top: name, path: Vec::new(), above: Vec::new(), found: None };
    // It ends with an error when something is found; another error ended the first look as well, or changed it since.
    let _ = Descent::new(tree).run(dir, &mut claiming);
    claiming.found
}

struct Claiming<'a> {
    tree: &'a Tree<'a>,
    /// The name of the directory itself, which the descent does not know.
    top: &'a CStr,
    /// Where it is, below the root.
    path: Vec<u8>,
    /// The folders on the way there: how long their paths are, and whose territory they are.
    above: Vec<(usize, Ground)>,
    found: Option<(Claim, Classified)>,
}

impl Claiming<'_> {
    fn find(&mut self, claim: Claim, look: Classified) -> Result<(), String> {
        let why = look.to_string();
        self.found = Some((claim, look));
        Err(why)
    }
}

impl Step for Claiming<'_> {
    fn entry(&mut self, _: BorrowedFd<'_>, _: FileId, name: &CStr) -> Result<(), String> {
        let Some((_, ground)) = self.above.last() else { return Ok(()) };
        let claim = self.tree.claim(ground, Name { folder: &self.path, last: name.to_bytes() });
        match in_words(self.tree, claim) {
            Some(look) => self.find(claim, look),
            None => Ok(()),
        }
    }

    fn enter(&mut self, folder: Option<FileId>, name: &CStr, meta: &Meta) -> Result<(), String> {
        let name = if folder.is_none() { self.top } else { name };
        let root = self.tree.ground();
        let above = self.above.last().map_or(&root, |(_, ground)| ground);
        let ground = self.tree.ground_below(above, Name { folder: &self.path, last: name.to_bytes() }, meta.id);
        let Some(rivals) = &self.tree.rivals else { return Ok(()) };
        if let Some(policy) = ground.inner() {
            let claim = Claim::Other { policy, naming: cleanup_core::owner::Naming::Takes };
            return self.find(claim, Classified::HoldsRoot { policy: rivals.name(policy).to_owned() });
        }
        if let Some(policy) = ground.keeper(rivals.claimants()) {
            return self
                .find(Claim::Disputed { policy }, Classified::Disputed { policy: rivals.name(policy).to_owned() });
        }
        self.above.push((self.path.len(), ground));
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CStr) {
        if let Some((len, _)) = self.above.pop() {
            self.path.truncate(len);
        }
    }
}
