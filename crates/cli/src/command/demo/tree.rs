//! The made-up folder: what is in it, and how old everything is.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cleanup_core::moment::Moment;

use anyhow::Context as _;
use cleanup_core::candidate::Escaped;
use cleanup_core::duration::Human;

/// The policies of the built-in configuration, but for the database: `DATABASE_URL` may name a real one, and a
/// demonstration must not touch it.
const CONFIG: &str = r#"
[files.visualization-output]
root     = "storage/output"
include  = ["formal_*-*-*-*-*.svg", "intuitive_*-*-*-*-*.svg"]
archives = ["formal_*_*-*-*-*-*.svg", "intuitive_*_*-*-*-*-*.svg"]
max_age  = "24h"
every    = "1h"

[files.temp-svgs]
root    = "storage/temp_svgs"
include = ["*.svg"]
max_age = "1h"
every   = "30m"

[files.temp-models]
root    = "temp_models"
include = ["*.step"]
max_age = "30m"
every   = "30m"

[sessions.tutor-sessions]
url             = "sqlite:///sessions.db"
table           = "tutor_sessions"
id_column       = "session_id"
activity_column = "last_activity"
max_idle        = "2h"
every           = "1h"
"#;

/// The sessions in the database: id, and minutes since the last activity.
pub(super) const SESSIONS: [(&str, u64); 3] = [
    ("8d0f5a61-77c2-4c1b-a1de-3f6b2e9c4d70", 26 * HOUR),
    ("b2c4e6f8-1a3b-4c5d-8e7f-90a1b2c3d4e5", 3 * HOUR),
    ("e7a9c1d3-5b7f-4e2a-9c8b-7d6e5f4a3b2c", 20),
];

/// One thing in the folder.
pub(super) struct Entry {
    pub(super) folder: &'static str,
    name: &'static str,
    minutes: u64,
    kind: Kind,
    pub(super) remark: Option<&'static str>,
}

enum Kind {
    File,
    /// A link to a file outside of every root.
    Link(&'static str),
}

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

const fn file(folder: &'static str, name: &'static str, minutes: u64) -> Entry {
    Entry { folder, name, minutes, kind: Kind::File, remark: None }
}

const fn remark(entry: Entry, remark: &'static str) -> Entry {
    Entry { remark: Some(remark), ..entry }
}

const OUTPUT: &str = "storage/output";
const SVGS: &str = "storage/temp_svgs";
const MODELS: &str = "temp_models";

/// What lies in the folder, in the order in which it is shown.
pub(super) const ENTRIES: &[Entry] = &[
    file(OUTPUT, "formal_84be7d10-2f6a-4c3e-b9d1-7a5c08e2f461.svg", 26 * HOUR),
    file(OUTPUT, "intuitive_84be7d10-2f6a-4c3e-b9d1-7a5c08e2f461.svg", 26 * HOUR),
    file(OUTPUT, "formal_1f0c9a52-6d3e-4b7a-9c41-2e8d5b60f713.svg", 3 * HOUR),
    remark(file(OUTPUT, "formal_20260101120000_5c2e7b1a-93d4-4f08-a6be-d0174c8e9f25.svg", 9 * DAY), "an archive"),
    file(SVGS, "icon_apple.svg", 90),
    file(SVGS, "icon_pear.svg", 20),
    remark(file(SVGS, "icon\u{1b}[2J\n-rf.svg", 5 * HOUR), "a hostile name"),
    Entry {
        folder: SVGS,
        name: "icon_link.svg",
        minutes: 9 * DAY,
        kind: Kind::Link("../../keep_me.txt"),
        remark: Some("a link to keep_me.txt"),
    },
    file(MODELS, "bracket.step", 45),
    file(MODELS, "gear.step", 10),
    file("", "keep_me.txt", 300 * DAY),
];

/// Two files that a sweep leaves: an archive, and one that is young.
pub(super) const LEFT: [&str; 2] = [
    "storage/output/formal_20260101120000_5c2e7b1a-93d4-4f08-a6be-d0174c8e9f25.svg",
    "storage/output/formal_1f0c9a52-6d3e-4b7a-9c41-2e8d5b60f713.svg",
];

impl Entry {
    pub(super) fn shown(&self) -> String {
        Escaped(self.name.as_bytes()).to_string()
    }

    pub(super) fn age(&self) -> Human {
        Human(Duration::from_secs(self.minutes * 60))
    }

    fn path(&self, here: &Path) -> PathBuf {
        here.join(self.folder).join(self.name)
    }
}

/// Makes the folder's content; answers with the configuration file.
pub(super) fn build(here: &Path) -> anyhow::Result<PathBuf> {
    for entry in ENTRIES {
        let path = entry.path(here);
        fs::create_dir_all(here.join(entry.folder)).with_context(|| format!("cannot make {}", entry.folder))?;
        match entry.kind {
            Kind::File => fs::write(&path, [b' '; 4096]),
            Kind::Link(target) => std::os::unix::fs::symlink(target, &path),
        }
        .with_context(|| format!("cannot make {}", entry.shown()))?;
    }
    let sessions = SESSIONS.map(|(id, minutes)| (id, Duration::from_secs(minutes * 60)));
    cleanup_engine::demo::sessions(&here.join("sessions.db"), &sessions)?;
    let config = here.join("cleanup.toml");
    fs::write(&config, CONFIG).context("cannot write cleanup.toml")?;
    Ok(config)
}

/// Makes everything that is still there exactly as old as it is said to be, so that no slow machine tells another
/// story.
pub(super) fn age(here: &Path) -> anyhow::Result<()> {
    let now = SystemTime::UNIX_EPOCH + cleanup_engine::now().since(Moment::EPOCH).unwrap_or_default();
    for entry in ENTRIES.iter().filter(|entry| matches!(entry.kind, Kind::File)) {
        let Ok(file) = File::options().write(true).open(entry.path(here)) else { continue };
        let modified = now - Duration::from_secs(entry.minutes * 60);
        let times = FileTimes::new().set_modified(modified);
        file.set_times(times).with_context(|| format!("cannot set the age of {}", entry.shown()))?;
    }
    Ok(())
}
