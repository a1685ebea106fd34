//! stub
use crate::*;
pub(crate) async fn sweep(
    _: &Path,
    _: &SessionPolicy,
    _: &Clock,
    _: Option<Way>,
    _: &dyn Observer,
    _: &mut Ledger,
) -> Result<(), Stop> {
    Err(Stop::Busy)
}
pub(crate) async fn plan(_: &Path, _: &SessionPolicy, _: &Clock, _: f64, _: &mut Ledger) -> Result<(), Stop> {
    Err(Stop::Busy)
}
pub(crate) async fn stats(_: &Path, _: &SessionPolicy, _: &Clock) -> Result<SessionStats, Stop> {
    Err(Stop::Busy)
}
pub(crate) async fn check(_: &Path, _: &SessionPolicy, _: &Clock) -> Result<Vec<Finding>, Stop> {
    Err(Stop::Busy)
}
