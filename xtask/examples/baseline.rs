//! The baseline of `cargo xtask bench sweep`: a sweep as one would write it in an afternoon.
//!
//! `baseline ROOT PATTERN MAX_AGE_SECONDS` with walkdir, globset and `std::fs::remove_file`. Correct on a quiet tree,
//! and by path: whoever can rename a folder can point it elsewhere.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use globset::GlobBuilder;
use walkdir::WalkDir;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, root, pattern, max_age] = args.as_slice() else {
        anyhow::bail!("usage: baseline ROOT PATTERN MAX_AGE_SECONDS");
    };
    let pattern = GlobBuilder::new(pattern).literal_separator(true).build()?.compile_matcher();
    let max_age = Duration::from_secs(max_age.parse()?);
    let now = SystemTime::now();
    for entry in WalkDir::new(root) {
        let entry = entry?;
        if entry.file_type().is_file() && pattern.is_match(entry.file_name()) {
            let modified = entry.metadata()?.modified()?;
            if now.duration_since(modified).is_ok_and(|age| age > max_age) {
                std::fs::remove_file(entry.path()).with_context(|| entry.path().display().to_string())?;
            }
        }
    }
    Ok(())
}
