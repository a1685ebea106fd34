//! Looks up policies by name and root without a scan, because each of thousands looks up the others.

use std::collections::HashMap;
use std::path::Path;

use cleanup_core::policy::FilePolicy;

/// The indices of the policies of a configuration, by name and by root.
#[derive(Debug)]
pub(super) struct Neighbours {
    by_name: HashMap<String, usize>,
    /// In the order of the roots' components, so that everything below a root follows it directly.
    by_root: Vec<usize>,
}

impl Neighbours {
    pub(super) fn among(files: &[FilePolicy]) -> Self {
        let by_name = files.iter().enumerate().map(|(at, policy)| (policy.rule.name.clone(), at)).collect();
        let mut by_root: Vec<usize> = (0..files.len()).collect();
        by_root.sort_by(|a, b| files[*a].root.cmp(&files[*b].root));
        Self { by_name, by_root }
    }

    /// The one with this name.
    pub(super) fn named<'a>(&self, files: &'a [FilePolicy], name: &str) -> Option<&'a FilePolicy> {
        self.by_name.get(name).map(|at| &files[*at])
    }

    /// Those with this root or a deeper one, in the order of the configuration.
    pub(super) fn below<'a>(&self, files: &'a [FilePolicy], root: &Path) -> Vec<&'a FilePolicy> {
        let first = self.by_root.partition_point(|at| files[*at].root.as_path() < root);
        let from = self.by_root[first..].iter().take_while(|at| files[**at].root.starts_with(root));
        let mut below: Vec<usize> = from.copied().collect();
        below.sort_unstable();
        below.into_iter().map(|at| &files[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::config::{Config, Source};

    use super::*;

    #[test]
    fn neighbours_are_found_as_if_each_were_asked() {
        let roots = ["/a", "/a/b/c", "/a-b", "/a/b", "/a//b/d", "/ab/c", "/a/b", "/a/bc"];
        let policy = |(at, root): (usize, &&str)| {
            format!("[files.p{at}]\nroot = \"{root}\"\ninclude = [\"*.{at}\"]\nmax_age = \"1h\"\n")
        };
        let text: String = roots.iter().enumerate().map(policy).collect();
        let source = Source { name: "", text: &text, folder: Path::new("/") };
        let files = Config::load(&source, &|_| None).unwrap().files;
        let neighbours = Neighbours::among(&files);
        for policy in &files {
            let below: Vec<_> = neighbours.below(&files, &policy.root).iter().map(|it| &it.rule.name).collect();
            let asked = files.iter().filter(|other| other.root.starts_with(&policy.root));
            assert_eq!(below, asked.map(|it| &it.rule.name).collect::<Vec<_>>(), "{}", policy.root.display());
        }
    }
}
