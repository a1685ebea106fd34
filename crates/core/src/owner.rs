//! File ownership: a file belongs to one policy.
//!
//! Among the policies whose root contains a file, within their depth, the one with the deepest root owns it if its
//! `include`, `archives` or `exclude` matches. Otherwise the file is offered to the next policy outward. So an outer
//! policy never removes what an inner one keeps or excludes, even if the inner one does not run. Two policies with the
//! same root that would both remove a file dispute it, and neither may.
//!
//! A policy looks up the others while it walks down from its own root. A [`Ground`] describes one folder: the other
//! policies whose roots contain it. It is usually empty, and then costs nothing. This module does not know where the
//! roots are: the code that walks the tree passes the policies whose root a folder is.

use std::path::PathBuf;

use crate::candidate::Name;
use crate::pattern::Patterns;
use crate::policy::{Depth, FilePolicy, Unit};

/// A file policy as seen by the others: what it matches, and where. It does not matter whether it is enabled, observes
/// or takes part in a run.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The policy's name.
    pub name: String,
    /// Its root, as configured.
    pub root: PathBuf,
    /// What it matches.
    pub patterns: Patterns,
    /// How deep below its root.
    pub depth: Depth,
    /// Whether it matches files, or whole directories directly below its root.
    pub unit: Unit,
}

/// How a policy matches a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By `include` or `archives`: the file is a candidate of that policy.
    Takes,
    /// By `exclude`, directly or through its folder: that policy never touches it.
    Spares,
}

/// The owner of a file, as seen by a policy that would remove it. Policies are identified by their index in the list of
/// claimants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The policy's own.
    Own,
    /// It belongs to a policy whose root is deeper.
    Other {
        /// That policy.
        policy: usize,
        /// How it matches the file.
        naming: Naming,
    },
    /// Another policy with the same root would remove it as well.
    Disputed {
        /// That policy.
        policy: usize,
    },
}

/// The other policies whose roots contain a folder: those with the policy's own root first, then inward.
#[derive(Clone, Debug, Default)]
pub struct Ground(Vec<Standing>);

/// The relation of one of them to the folder.
#[derive(Clone, Copy, Debug)]
struct Standing {
    policy: usize,
    /// The length of that policy's root within the folder's path, in bytes; 0 if both have the same root.
    root: usize,
    /// The depth of the folder's entries below that root, from 1.
    depth: u32,
    /// How that policy matches the folder as a whole.
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

    /// Whether no other policy's root contains the folder, so everything in it belongs to the policy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The owner of a file in the folder that the asking policy matches.
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
