//! Policies that could never take anything, because another with the same root names all that they name.
//!
//! What two policies with the same root both name neither of them takes. Where some of it is left to each, that is seen
//! when there are files; a policy to which nothing can be left is a mistake that is seen at once.
//!
//! Only what can be proven is refused: patterns are compared as they are written, and roots as well. Roots that are the
//! same by way of a link are found when they are opened.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::super::diagnostic::Diagnostic;
use super::super::raw::RawFilePolicy;
use super::super::values::{At, Named};
use super::Check;
use crate::candidate::Escaped;
use crate::pattern::Dotfiles;
use crate::policy::{Depth, FilePolicy, Unit};

/// A policy and what it names, as written.
struct Scope<'a> {
    name: &'a At<String>,
    depth: Depth,
    unit: Unit,
    dotfiles: Dotfiles,
    takes: BTreeSet<&'a str>,
    spares: BTreeSet<&'a str>,
}

impl Check<'_> {
    /// Refuses policies that another with the same root shadows wholly.
    pub(super) fn shadows(&mut self, raw: &Named<RawFilePolicy>, policies: &[Option<FilePolicy>]) {
        let mut by_root: HashMap<&Path, Vec<Scope<'_>>> = HashMap::new();
        for ((name, raw), policy) in raw.0.iter().zip(policies) {
            // A policy with an error or without a key that counts here is judged once that is mended.
            let Some(policy) = policy else { continue };
            if !self.structure.lost_keys(&["files", &name.value]) {
                by_root.entry(&policy.root).or_default().push(Scope::new(name, raw, policy));
            }
        }
        let mut found = Vec::new();
        for scopes in by_root.values().filter(|scopes| scopes.len() > 1) {
            // Whoever names all that a policy names has its first pattern too, or the one that means everything.
            let mut having: HashMap<&str, Vec<usize>> = HashMap::new();
            for (index, scope) in scopes.iter().enumerate() {
                for pattern in &scope.takes {
                    having.entry(pattern).or_default().push(index);
                }
            }
            for (index, scope) in scopes.iter().enumerate() {
                let first = scope.takes.first().and_then(|pattern| having.get(pattern));
                let all = [first, having.get(EVERYTHING)].into_iter().flatten().flatten();
                let shadow = all.filter(|other| **other != index).find(|other| scopes[**other].shadows(scope));
                found.extend(shadow.map(|other| refused(scope, &scopes[*other])));
            }
        }
        for diagnostic in found {
            self.refuse(diagnostic);
        }
    }
}

/// The pattern that means every name, except for those that begin with a dot where a wildcard does not match one.
const EVERYTHING: &str = "*";

impl<'a> Scope<'a> {
    fn new(name: &'a At<String>, raw: &'a RawFilePolicy, policy: &FilePolicy) -> Self {
        fn texts<'t>(patterns: impl IntoIterator<Item = &'t At<String>>) -> BTreeSet<&'t str> {
            patterns.into_iter().map(|pattern| pattern.value.as_str()).collect()
        }
        let include = raw.include.iter().flat_map(|list| &list.value);
        Self {
            name,
            depth: policy.depth,
            unit: policy.unit,
            dotfiles: policy.patterns.dotfiles(),
            takes: texts(include.chain(raw.archives.iter().flatten())),
            spares: texts(raw.exclude.iter().flatten()),
        }
    }

    /// Whether this one certainly names all that the other could take.
    fn shadows(&self, other: &Self) -> bool {
        let has_all = other.takes.is_subset(&self.takes);
        let has_everything = self.takes.contains(EVERYTHING) && other.takes.iter().all(|pattern| is_plain(pattern));
        self.unit == other.unit
            && (self.dotfiles == Dotfiles::Match || other.dotfiles == Dotfiles::Leave)
            && self.depth >= other.depth
            && self.spares.is_subset(&other.spares)
            && (has_all || has_everything)
    }
}

/// Whether a pattern can mean no name that begins with a dot, unless it begins with a wildcard.
fn is_plain(pattern: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or(pattern);
    last.starts_with(|first: char| first.is_alphanumeric() || matches!(first, '_' | '*' | '?'))
}

fn refused(shadowed: &Scope<'_>, by: &Scope<'_>) -> Diagnostic {
    let (name, other) = (Escaped(shadowed.name.value.as_bytes()), Escaped(by.name.value.as_bytes()));
    Diagnostic::new(&shadowed.name.span, format!("`{name}` can never remove a file"))
        .label(format!("`{other}` has the same root and matches every file that this policy matches"))
        .context(&by.name.span, "this policy, enabled or not")
        .note("a file that two policies with the same root match is removed by neither")
        .help(format!("exclude the files of `{name}` in `{other}`, or remove one of the two policies"))
}
