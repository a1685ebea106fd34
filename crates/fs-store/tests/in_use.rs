//! A file that is opened after it was looked at, and before it is removed, stays.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::fs::File;
use std::process::{Child, Command};
use std::sync::Mutex;

use cleanup_core::policy::{FilePolicy, InUse};
use cleanup_core::store::Seen;
use cleanup_core::sweep::Observer;
use common::{HOUR, apply_watched, file, policy};

/// Has another process hold a file open as soon as something was looked at: nothing has been judged then.
struct Opening {
    path: std::path::PathBuf,
    reader: Mutex<Option<Child>>,
}

impl Observer for Opening {
    fn seen(&self, _: Seen) {
        let mut reader = self.reader.lock().unwrap();
        if reader.is_none() {
            let open = File::open(&self.path).unwrap();
            *reader = Some(Command::new("sleep").arg("600").stdin(open).spawn().unwrap());
        }
    }
}

#[test]
fn what_is_opened_between_the_look_and_the_removal_stays() {
    let root = tempfile::tempdir().unwrap();
    let open = file(&root.path().join("open"), 2 * HOUR);
    file(&root.path().join("idle"), 2 * HOUR);
    let policy = FilePolicy { in_use: InUse::Skip, ..policy(root.path()) };
    let opening = Opening { path: open.clone(), reader: Mutex::default() };
    let tally = apply_watched(&policy, &opening);
    let mut reader = opening.reader.into_inner().unwrap().unwrap();
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert_eq!((tally.counts.kept.in_use, tally.counts.removed), (1, 1));
    assert!(open.exists());
    assert_eq!(apply_watched(&policy, &()).counts.removed, 1);
}
