//! A second witness of the clock, in a file of its own: `locks/clock`.
//!
//! The clock guard compares with the last reading that was believed. Were that in the database alone, a database that is
//! lost or ruined would take the guard along, and a clock that jumped would be believed just then.
//!
//! One line of a fixed width, written in place, so that it fits on a full disk once it is there. It is not flushed: a
//! crash leaves the reading before it or a line whose checksum is wrong, and then the database is asked. The first one
//! appears whole, before anything else lies in `locks/`: a folder that has been used and has none has lost it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::moment::Moment;

use crate::folder;
use crate::ledger::ClockReading;

/// More than a line takes: numbers of twenty digits, and the name of a boot.
const MOST_BYTES: usize = 256;

/// What it is called before it is whole.
pub(crate) const NEW: &str = "clock.new";

#[derive(Debug)]
pub(crate) struct Witness {
    file: PathBuf,
}

impl Witness {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { file: folder::locks(folder).join("clock") }
    }

    /// The reading that was written last; `None` when there is none that can be believed.
    pub(crate) fn read(&self) -> Option<ClockReading> {
        let file = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(&self.file).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || folder::stranger(&metadata).is_some() {
            return None;
        }
        let mut text = [0; MOST_BYTES];
        let length = file.read_at(&mut text, 0).ok()?;
        parse(std::str::from_utf8(&text[..length]).ok()?.lines().next()?)
    }

    /// The file on its way to its name.
    fn new_file(&self) -> PathBuf {
        self.file.with_file_name(NEW)
    }

    /// Whether somebody has begun to write the first reading and has not come to its end.
    pub(crate) fn was_never_written(&self) -> bool {
        self.new_file().symlink_metadata().is_ok()
    }

    /// Best effort: where it fails, an older reading must not outlive the newer one that the database has.
    pub(crate) fn write(&self, reading: &ClockReading) {
        let write = || -> io::Result<()> {
            if self.file.symlink_metadata().is_ok() {
                let (file, _) = folder::open_or_create(&self.file)?;
                return file.write_all_at(line(reading).as_bytes(), 0);
            }
            let (file, _) = folder::open_or_create(&self.new_file())?;
            file.write_all_at(line(reading).as_bytes(), 0)?;
            fs::rename(self.new_file(), &self.file)
        };
        if let Err(error) = write() {
            tracing::debug!("cannot write {}: {error}", self.file.display());
            let _ = fs::remove_file(&self.file);
        }
    }
}

fn line(reading: &ClockReading) -> String {
    let ClockReading { wall, boot, running, boot_id } = reading;
    let rest = format!(
        "{:020} {:09} {:020} {:020} {boot_id:<40}",
        wall.unix_seconds(),
        wall.subsec_nanos(),
        boot.as_nanos(),
        running.as_nanos()
    );
    format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()))
}

fn parse(line: &str) -> Option<ClockReading> {
    let (checksum, rest) = line.split_once(' ')?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
        return None;
    }
    let mut fields = rest.split_whitespace();
    let wall = Moment::from_unix(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let mut span = || Some(Duration::from_nanos(fields.next()?.parse().ok()?));
    let (boot, running) = (span()?, span()?);
    Some(ClockReading { wall, boot, running, boot_id: fields.next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use cleanup_core::damage::{Blow, damaged};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reading_is_read_back_as_it_was_written_and_a_flipped_bit_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder::locks(folder.path())).unwrap();
        let witness = Witness::new(folder.path());
        assert_eq!(witness.read(), None);
        for (wall, boot_id) in [(-5, ""), (1_700_000_000, "8a0d1f3c-6a52-4a53-9d6e-d3c1a2b4e5f6"), (7, "")] {
            let boot = Duration::from_nanos(1_234_567_890_123);
            let wall = Moment::from_unix(wall, 987_654_321);
            let reading = ClockReading { wall, boot, running: boot / 2, boot_id: boot_id.to_owned() };
            witness.write(&reading);
            assert_eq!(witness.read(), Some(reading));
        }
        let mut bytes = std::fs::read(&witness.file).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&witness.file, bytes).unwrap();
        assert_eq!(witness.read(), None);
    }

    /// What the next process reads where the file holds this.
    fn read(bytes: &[u8]) -> Option<ClockReading> {
        let folder = folder::for_tests();
        std::fs::create_dir(folder::locks(folder.path())).unwrap();
        let witness = Witness::new(folder.path());
        std::fs::write(&witness.file, bytes).unwrap();
        witness.read()
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_another_reading(
            seconds in -5_i64..4_000_000_000,
            nanos in 0_u32..1_000_000_000,
            has_boot_id in any::<bool>(),
            blows in prop::collection::vec(any::<Blow>(), 1..4),
        ) {
            let span = Duration::from_secs(seconds.unsigned_abs());
            let boot_id = if has_boot_id { "8a0d1f3c-6a52-4a53-9d6e-d3c1a2b4e5f6" } else { "" }.to_owned();
            let reading = ClockReading { wall: Moment::from_unix(seconds, nanos), boot: span, running: span / 2, boot_id };
            let read = read(&damaged(line(&reading).as_bytes(), &blows));
            prop_assert!(read.is_none() || read.as_ref() == Some(&reading), "{:?}", read);
        }

        #[test]
        fn no_bytes_are_too_strange_to_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..2 * MOST_BYTES),
            text in "[-+ 0-9a-f]{0,120}",
        ) {
            read(&bytes);
            // With a checksum that is right.
            let line = format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
            read(line.as_bytes());
        }
    }
}
