//! Removes what was judged due: single files, empty directories, and whole directories that lie in quarantine.

pub(crate) mod delete_tree;
pub(crate) mod in_use;
pub(crate) mod remove;
pub(crate) mod tree_sum;

/// How many names wait for others at most, where notes are written of what goes: one sync is enough for all of them.
pub(crate) const GATHERED: usize = crate::quarantine::NOTES;
