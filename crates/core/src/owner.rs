//! Whose file it is: a file belongs to one policy.
//!
//! Of the policies whose root a file lies in, and within whose depth, the one with the deepest root owns it if it names
//! the file, by `include`, `archives` or `exclude`. One that does not name it passes it on to the next one outward. So
//! what an inner policy keeps or excludes is never taken by an outer one, whether or not the inner one runs. Two
//! policies with the same root that would both take a file dispute it: neither may.
//!
//! A policy asks about the others on its way down from its own root. A [`Ground`] is what it knows about one folder: the
//! other policies in whose roots that folder lies. It is empty where there are none, and then asking costs nothing. This
//! module does not know where the roots are: whoever walks the tree says of which policies a folder is the root.

use std::path::PathBuf;

use crate::candidate::Name;
use crate::pattern::Patterns;
use crate::policy::{Depth, FilePolicy, Unit};

/// A file policy as the others meet it: what it names, and where. Whether it is enabled, only observes or takes part in
/// a run does not count.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The policy's name.
    pub name: String,
    /// Its root, as configured.
    pub root: PathBuf,
    /// What it names.
    pub patterns: Patterns,
    /// How far below its root.
    pub depth: Depth,
    /// Whether it names files, or the directories directly below its root with all that is in them.
    pub unit: Unit,
}

/// How a policy names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By `include` or `archives`: the file is a candidate of that policy.
    Takes,
    /// By `exclude`, or the folder that it lies in: that policy never touches it.
    Spares,
}

/// Whose a file is, as seen by a policy that would take it. Policies are told by their place in the list of claimants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The policy's own.
    Own,
    /// It belongs to a policy whose root lies deeper.
    Other {
        /// That policy.
        policy: usize,
        /// How it names the file.
        naming: Naming,
    },
    /// Another policy with the same root would take it as well.
    Disputed {
        /// That policy.
        policy: usize,
    },
}

/// The other policies in whose roots a folder lies: those with the policy's own root first, then inward.
#[derive(Clone, Debug, Default)]
pub struct Ground(Vec<Standing>);

/// How one of them relates to the folder.
#[derive(Clone, Copy, Debug)]
struct Standing {
    policy: usize,
    /// How many bytes of the folder's path lead to that policy's root; 0 where both have the same root.
    root: usize,
    /// How deep the folder's entries lie below that root, from 1.
    depth: u32,
    /// How that policy names the folder with all that is in it.
    folder: Option<Naming>,
}

impl From<&FilePolicy> for Claimant {
    fn from(policy: &FilePolicy) -> Self {
        Self {
            name: policy.rule.name.clone(),
            root: policy.root.clone(),
            patterns: policy.patterns.clone(),
            depth: policy.depth,
            unit: policy.unit,
        }
    }
}

impl Ground {
    /// Of a policy's own root; `peers` are the other policies whose root it is as well.
    pub fn of_root(peers: impl IntoIterator<Item = usize>) -> Self {
        let standing = |policy| Standing { policy, root: 0, depth: 1, folder: None };
        Self(peers.into_iter().map(standing).collect())
    }

    /// Of a folder directly in this one; `roots` are the other policies whose root it is. Paths are below the root of
    /// the policy that asks.
    #[must_use]
    pub fn folder(&self, claimants: &[Claimant], folder: Name<'_>, roots: impl IntoIterator<Item = usize>) -> Self {
        let mut standings = Vec::new();
        for standing in &self.0 {
            standings.push(standing.below(&claimants[standing.policy], folder));
        }
        let root = folder.folder.len() + usize::from(!folder.folder.is_empty()) + folder.last.len();
        standings.extend(roots.into_iter().map(|policy| Standing { policy, root, depth: 1, folder: None }));
        Self(standings)
    }

    /// Whether the folder lies in no other policy's root: then all in it is the policy's own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose a file in the folder is, if the policy that asks names it.
    pub fn claim(&self, claimants: &[Claimant], file: Name<'_>) -> Claim {
        for level in self.0.chunk_by(|a, b| a.root == b.root).rev() {
            let named = |wanted| {
                level.iter().find(|standing| standing.names(&claimants[standing.policy], file) == Some(wanted))
            };
            match named(Naming::Takes) {
                Some(peer) if peer.root == 0 => return Claim::Disputed { policy: peer.policy },
                Some(inner) => return Claim::Other { policy: inner.policy, naming: Naming::Takes },
                None => {}
            }
            if let Some(inner) = named(Naming::Spares).filter(|spares| spares.root > 0) {
                return Claim::Other { policy: inner.policy, naming: Naming::Spares };
            }
        }
        Claim::Own
    }

    /// The policy for whose sake the folder itself is never removed, however empty it is: one whose root it is, one with
    /// a deeper root that walks into it or excludes it, or one with the same root for which it is part of a whole
    /// directory.
    pub fn keeper(&self, claimants: &[Claimant]) -> Option<usize> {
        let keeps = |standing: &&Standing| {
            let claimant = &claimants[standing.policy];
            match claimant.unit {
                Unit::Directory if standing.root == 0 => standing.folder == Some(Naming::Takes),
                Unit::Directory => standing.depth == 1 || standing.folder.is_some(),
                Unit::File if standing.root == 0 => false,
                Unit::File => standing.depth <= claimant.depth.0 || standing.folder.is_some(),
            }
        };
        self.0.iter().rev().find(keeps).map(|standing| standing.policy)
    }

    /// A policy with a deeper root in whose root the folder lies, or whose root it is.
    pub fn inner(&self) -> Option<usize> {
        self.0.last().filter(|standing| standing.root > 0).map(|standing| standing.policy)
    }
}

impl Standing {
    /// The same policy, as it relates to a folder in this one.
    fn below(self, claimant: &Claimant, folder: Name<'_>) -> Self {
        let name = self.seen_from(folder);
        let is_within = self.depth <= claimant.depth.0;
        let named = match claimant.unit {
            // What goes or stays is the directory directly below the root.
            Unit::Directory if self.depth == 1 && claimant.patterns.excludes_folder(name) => Some(Naming::Spares),
            Unit::Directory if self.depth == 1 => claimant.patterns.class_of_whole(name).map(|_| Naming::Takes),
            Unit::Directory => None,
            Unit::File => (is_within && claimant.patterns.excludes_folder(name)).then_some(Naming::Spares),
        };
        Self { depth: self.depth.saturating_add(1), folder: self.folder.or(named), ..self }
    }

    /// How the policy names a file in the folder; `None` where it does not.
    fn names(self, claimant: &Claimant, file: Name<'_>) -> Option<Naming> {
        match claimant.unit {
            Unit::Directory => self.folder,
            // A folder within its depth that it excludes is excluded with all in it, however deep.
            Unit::File if self.folder.is_some() => self.folder,
            Unit::File if self.depth > claimant.depth.0 => None,
            Unit::File => naming(&claimant.patterns, self.seen_from(file)),
        }
    }

    /// The name as it is below that policy's own root.
    fn seen_from(self, name: Name<'_>) -> Name<'_> {
        let below = &name.folder[self.root.min(name.folder.len())..];
        Name { folder: below.strip_prefix(b"/").unwrap_or(below), last: name.last }
    }
}

/// `exclude` comes before everything else, as for the policy itself.
fn naming(patterns: &Patterns, name: Name<'_>) -> Option<Naming> {
    if patterns.excludes(name) { Some(Naming::Spares) } else { patterns.class(name).map(|_| Naming::Takes) }
}
