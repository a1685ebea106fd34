//! `sweep --textfile`: the metrics of the service, for sweeps that end: a file for `node_exporter` to collect.
//!
//! The file is replaced whole, so a collector never reads half of it.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use cleanup_core::report::Report;
use cleanup_metrics::Metrics;

/// Writes the file anew, with what this sweep adds.
pub(crate) fn write(path: &Path, report: &Report) -> io::Result<()> {
    let metrics = Metrics::of_sweeps();
    match read(path) {
        Ok(before) => metrics.resume(&before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    metrics.took(report);
    let text = metrics.textfile(&report.findings);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".cleanup-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // The collector is another user.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

/// The whole file. Others may write the folder of the collector: what is no regular file there (a FIFO, a device) is not
/// waited for.
fn read(path: &Path) -> io::Result<String> {
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    io::read_to_string(file)
}
