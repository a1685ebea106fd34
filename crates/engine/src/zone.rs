//! The time zone of schedules.

use jiff::tz::TimeZone;

/// The zone that `time_zone` names is not known on this machine.
#[derive(Debug, thiserror::Error)]
#[error("`time_zone` names the zone \"{}\", which this machine does not know: {source}", zone.escape_debug())]
pub struct UnknownZone {
    zone: String,
    source: jiff::Error,
}

/// The zone in which schedules run: the one that `time_zone` names, else the machine's own.
pub fn time_zone(configured: Option<&str>) -> Result<TimeZone, UnknownZone> {
    match configured {
        None => Ok(TimeZone::system()),
        Some(name) => TimeZone::get(name).map_err(|source| UnknownZone { zone: name.to_owned(), source }),
    }
}
