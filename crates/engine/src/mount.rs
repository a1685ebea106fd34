//! Properties of a mount, before there is a policy for it.

use std::path::Path;
use std::time::Duration;

/// Whether the mount of a folder records reads precisely enough for `stamp = "atime"` with this age; if not, the
/// reason. For a folder that does not exist yet, the mount on which it would be created counts.
pub fn records_access_times(folder: &Path, max_age: Duration) -> Result<(), String> {
    cleanup_fs_store::check_access_times_of(folder, max_age).map_err(|error| error.to_string())
}
