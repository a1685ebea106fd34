//! Which file a SQLite URL leads to.

use std::path::Path;

use super::{File, parameter};
use crate::url::parameter::Meaning;
use crate::url::{Parameter, UrlError, parameters, weigh};

/// `///file` and `////file` as SQLAlchemy has them, `file` and `/file` as `sqlx` has them.
pub(crate) fn parse(rest: &str, base: &Path) -> Result<File, UrlError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let file = match rest.strip_prefix("//") {
        Some(slashed) => slashed.strip_prefix('/').ok_or(UrlError::NoFile)?,
        None => rest,
    };
    if file.is_empty() || file == ":memory:" || file.starts_with("file:") || file.contains('\0') {
        return Err(UrlError::NoFile);
    }
    for Parameter { name, value, place } in parameters(query)? {
        match parameter::of(&name) {
            Meaning::Only(_) if name == "mode" && value == "memory" => return Err(UrlError::NoFile),
            Meaning::Only(_) if name == "mode" && value == "ro" => {
                return Err(UrlError::Unsupported(place, "rows are removed, so the file must be writable"));
            }
            meaning => weigh(meaning, place, &value)?,
        }
    }
    Ok(File(base.join(file)))
}
