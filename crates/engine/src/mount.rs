//! What can be known of a mount before there is a policy for it.

use std::path::Path;
use std::time::Duration;

/// Whether reads of files below a folder are recorded finely enough for `stamp = "atime"` with this age; if not, why, in
/// words. A folder that does not exist yet is answered for by the mount that it would be made on.
pub fn records_access_times(folder: &Path, max_age: Duration) -> Result<(), String> {
    cleanup_fs_store::check_access_times_of(folder, max_age).map_err(|error| error.to_string())
}
