//! What each parameter of a database URL means here: it is followed, it has no bearing, or the URL is refused by the
//! parameter's name. None is passed over in silence: `?schema=tenant1` or `?service=replica` leads the application to
//! another table or server, and whoever ignores it cleans the wrong one.
//!
//! The variables of libpq are parameters too, where the URL does not say otherwise. Nothing here quotes a value.

/// What a parameter is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is followed.
    Followed,
    /// It names the schema of tables that are named without one: as it is written, or as SQL would read it.
    Schema(Spelling),
    /// It steers the application's own driver, its pool or its socket, and says nothing about which rows there are.
    NoBearing,
    /// These values mean what is done anyway; every other one is refused.
    Only(&'static [&'static str]),
    /// It cannot be followed; the text says what to do instead.
    Refused(&'static str),
}

/// How a schema is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Case and all, as Prisma does.
    Exact,
    /// A search path of SQL: only a single name that SQL does not fold is taken.
    Path,
}

use Meaning::{NoBearing, Refused};

const OWN_URL: &str = "give cleanup a url of its own without it";
/// Values that switch a parameter off.
pub(crate) const OFF: &[&str] = &["", "0", "false", "off", "no"];

/// What a parameter means, by the tables of one database; one that nobody has heard of is refused too.
pub(crate) fn meaning(name: &str, known: &[(&str, Meaning)], no_bearing: &[&str]) -> Meaning {
    if no_bearing.contains(&name) {
        return NoBearing;
    }
    let known = known.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning);
    known.unwrap_or(Refused(OWN_URL))
}
