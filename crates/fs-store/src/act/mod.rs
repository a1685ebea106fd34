//! What is done with what was judged due.

pub(crate) mod delete_tree;
pub(crate) mod in_use;
pub(crate) mod remove;
pub(crate) mod tree_sum;
