//! Where the roots of all policies really are, and whose territory a folder is.
//!
//! A root is known by two things, and either is enough: its path with all links resolved, and which folder it is. The
//! path still holds when somebody puts another folder in its place during a run; the folder still holds when two paths
//! lead to it by bind mounts. What a root is called here is never opened: it is only compared with where the walk is.
//!
//! A root that cannot be resolved, because it is missing or may not be entered, is known by its path as far as that
//! exists. Nothing lies there then; should it appear during the run, it is its policy's at once.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cleanup_core::candidate::Name;
use cleanup_core::owner::{Claim, Claimant, Ground};
use cleanup_core::policy::FilePolicy;

use crate::sys::entry::FileId;
use crate::sys::root::Root;

/// The roots of all policies of a configuration, as they are now. Resolved once, and shared by the stores of one run.
#[derive(Debug)]
pub struct Roots {
    claimants: Arc<[Claimant]>,
    by_name: HashMap<String, usize>,
    by_path: BTreeMap<Vec<u8>, Vec<usize>>,
    by_id: HashMap<FileId, Vec<usize>>,
}

/// How many files of a store another policy claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The other policy.
    pub policy: String,
    /// Files that belong to it, because its root lies deeper.
    pub owned: u64,
    /// Files that neither may take, because both have the same root.
    pub disputed: u64,
}

/// What one store knows of the other policies.
#[derive(Debug)]
pub(crate) struct Rivals {
    roots: Arc<Roots>,
    /// The store's own policy among the claimants.
    own: Option<usize>,
    /// Those with the same root, in the order of the configuration.
    peers: Vec<usize>,
    /// Those whose roots lie below this one, by their paths below it.
    inner: HashMap<Vec<u8>, Vec<usize>>,
    /// How many files were met that others claim.
    met: Mutex<BTreeMap<usize, [u64; 2]>>,
}

/// What a reader has met of others' files, until it says so.
#[derive(Debug, Default)]
pub(crate) struct Meeting(BTreeMap<usize, [u64; 2]>);

impl Roots {
    /// Finds out where the roots of these policies are.
    pub fn resolve(claimants: Arc<[Claimant]>) -> Self {
        let (mut by_path, mut by_id) = (BTreeMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        let by_name = claimants.iter().enumerate().map(|(policy, claimant)| (claimant.name.clone(), policy)).collect();
        for (policy, claimant) in claimants.iter().enumerate() {
            by_path.entry(really(&claimant.root)).or_default().push(policy);
            if let Some(id) = FileId::of(&claimant.root) {
                by_id.entry(id).or_default().push(policy);
            }
        }
        Self { claimants, by_name, by_path, by_id }
    }

    fn at_path(&self, path: &[u8]) -> &[usize] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    fn at_id(&self, id: FileId) -> &[usize] {
        self.by_id.get(&id).map_or(&[], Vec::as_slice)
    }
}

impl Rivals {
    pub(crate) fn new(policy: &FilePolicy, root: &Root, roots: Arc<Roots>) -> Self {
        let own = roots.by_name.get(&policy.rule.name).copied();
        let path = really(&policy.root);
        let mut peers: Vec<usize> = roots.at_path(&path).iter().chain(roots.at_id(root.id())).copied().collect();
        peers.retain(|peer| Some(*peer) != own);
        peers.sort_unstable();
        peers.dedup();
        let mut inner = HashMap::<_, Vec<_>>::new();
        // In the order of bytes, everything below a folder lies between these two.
        let (first, last) = ([path.as_slice(), b"/"].concat(), [path.as_slice(), b"0"].concat());
        for (below, policies) in roots.by_path.range(first.clone()..last) {
            inner.insert(below[first.len()..].to_vec(), policies.clone());
        }
        Self { roots, own, peers, inner, met: Mutex::default() }
    }

    pub(crate) fn claimants(&self) -> &[Claimant] {
        &self.roots.claimants
    }

    /// The name of another policy.
    pub(crate) fn name(&self, policy: usize) -> &str {
        &self.roots.claimants[policy].name
    }

    /// Of the store's own root.
    pub(crate) fn ground(&self) -> Ground {
        Ground::of_root(self.peers.iter().copied())
    }

    /// Of a folder in another one.
    pub(crate) fn below(&self, ground: &Ground, folder: Name<'_>, id: FileId) -> Ground {
        let by_path = if self.inner.is_empty() { None } else { self.inner.get(&folder.to_bytes()) };
        let by_path = by_path.map_or(&[] as &[usize], Vec::as_slice);
        let by_id = self.roots.at_id(id);
        if ground.is_empty() && by_path.is_empty() && by_id.is_empty() {
            return Ground::default();
        }
        let is_other = |policy: &usize| Some(*policy) != self.own && !self.peers.contains(policy);
        let by_id = by_id.iter().filter(|policy| !by_path.contains(policy));
        ground.folder(&self.roots.claimants, folder, by_path.iter().chain(by_id).copied().filter(is_other))
    }

    /// Another policy whose root this folder below the store's own is.
    pub(crate) fn root_of(&self, id: FileId) -> Option<usize> {
        self.roots.at_id(id).iter().copied().find(|policy| Some(*policy) != self.own && !self.peers.contains(policy))
    }

    /// Whether there are any with this root, or with a root below it.
    pub(crate) fn are_near(&self) -> bool {
        !self.peers.is_empty() || !self.inner.is_empty()
    }

    /// Whether others may claim anything in a directory directly below the root.
    pub(crate) fn reach_into(&self, name: &[u8]) -> bool {
        let is_in = |path: &Vec<u8>| path.strip_prefix(name).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        !self.peers.is_empty() || self.inner.keys().any(is_in)
    }

    /// Takes in what was met.
    pub(crate) fn meet(&self, meeting: &mut Meeting) {
        if meeting.0.is_empty() {
            return;
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, [owned, disputed]) in std::mem::take(&mut meeting.0) {
            let sum = met.entry(policy).or_default();
            sum[0] += owned;
            sum[1] += disputed;
        }
    }

    /// What was met so far, in the order of the configuration.
    pub(crate) fn met(&self) -> Vec<Met> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(policy, [owned, disputed]): (&usize, &[u64; 2])| Met {
            policy: self.name(*policy).to_owned(),
            owned: *owned,
            disputed: *disputed,
        };
        met.iter().map(told).collect()
    }

    /// The other policies with the same root, each with whether it stands before this one in the configuration.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.peers.iter().map(|peer| (self.name(*peer), self.own.is_some_and(|own| *peer < own)))
    }
}

impl Meeting {
    pub(crate) fn note(&mut self, claim: Claim) {
        match claim {
            Claim::Own => {}
            Claim::Other { policy, .. } => self.0.entry(policy).or_default()[0] += 1,
            Claim::Disputed { policy } => self.0.entry(policy).or_default()[1] += 1,
        }
    }
}

/// Where a path really leads, links resolved, as far as it exists.
fn really(path: &Path) -> Vec<u8> {
    fn resolved(path: &Path) -> PathBuf {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => resolved(folder).join(name),
            _ => path.to_owned(),
        }
    }
    resolved(path).as_os_str().as_bytes().to_owned()
}
