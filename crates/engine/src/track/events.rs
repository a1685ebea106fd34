//! Collects events, so that each file is scanned only once.

use std::collections::BTreeMap;

use cleanup_fs_store::Hint;

/// Events of files, in the order in which they matter.
pub(super) enum Step {
    Files(BTreeMap<Vec<u8>, NameChange>),
    Folder(Vec<u8>),
    FolderGone(Vec<u8>),
}

/// The events of one name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameChange {
    /// Another file had this name before.
    pub(super) was_gone: bool,
    pub(super) appeared: bool,
    pub(super) is_gone: bool,
}

/// All events since the last scan.
#[derive(Default)]
pub(super) struct Events {
    pub(super) steps: Vec<Step>,
    pub(super) anything: bool,
    pub(super) root_gone: bool,
}

impl Events {
    /// Whether there are no events.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.anything && !self.root_gone
    }

    pub(super) fn take(&mut self, hint: Hint<'_>) {
        match hint {
            Hint::Anything => self.anything = true,
            Hint::RootGone => self.root_gone = true,
            Hint::Folder(path) => self.steps.push(Step::Folder(path.to_owned())),
            Hint::FolderGone(path) => self.steps.push(Step::FolderGone(path.to_owned())),
            Hint::Appeared(path) => self.file(path, |change| (change.appeared, change.is_gone) = (true, false)),
            Hint::Written(path) => self.file(path, |change| change.is_gone = false),
            Hint::Gone(path) => {
                self.file(path, |change| *change = NameChange { was_gone: true, appeared: false, is_gone: true });
            }
        }
    }

    fn file(&mut self, path: &[u8], apply: impl FnOnce(&mut NameChange)) {
        if !matches!(self.steps.last(), Some(Step::Files(_))) {
            self.steps.push(Step::Files(BTreeMap::new()));
        }
        if let Some(Step::Files(files)) = self.steps.last_mut() {
            if let Some(change) = files.get_mut(path) {
                apply(change);
            } else {
                apply(files.entry(path.to_owned()).or_default());
            }
        }
    }
}
