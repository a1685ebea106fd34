//! The only clock of the workspace; code below is passed `now`.

#[cfg(feature = "test-clock")]
pub(crate) mod test_clock;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cleanup_core::clock_guard::Reading;
use cleanup_core::moment::Moment;
use rustix::time::{ClockId, clock_gettime};
use ulid::Ulid;

/// The wall clock, to which timestamps of files are compared.
pub fn now() -> Moment {
    let now = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Moment::EPOCH.plus(after),
        Err(before) => Moment::EPOCH.minus(before.duration()),
    };
    #[cfg(feature = "test-clock")]
    let now = test_clock::shift().wall(now);
    now
}

/// All clocks at once, for the guard.
pub(crate) fn reading() -> Reading {
    let running = since_boot(ClockId::Monotonic);
    #[cfg(feature = "test-clock")]
    let running = test_clock::shift().running(running);
    Reading { wall: now(), boot: boot(), running, boot_id: boot_id() }
}

/// The kernel's id of this boot. No process outlives its boot, so it is read once; if the kernel has none, an id for
/// this process identifies its own readings.
fn boot_id() -> String {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    let id = BOOT_ID.get_or_init(|| named(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().as_deref()));
    #[cfg(feature = "test-clock")]
    if let Some(other) = test_clock::shift().boot_id() {
        return other;
    }
    id.clone()
}

fn named(told: Option<&str>) -> String {
    let told = told.map(str::trim).filter(|told| !told.is_empty());
    told.map_or_else(|| format!("unknown-{}", Ulid::generate()), str::to_owned)
}

/// The time since this boot, including sleep: the clock that cannot be set.
pub(crate) fn boot() -> Duration {
    let boot = since_boot(ClockId::Boottime);
    #[cfg(feature = "test-clock")]
    let boot = test_clock::shift().boot(boot);
    boot
}

/// The kernel's id of the mount namespace of this process.
pub(crate) fn mount_namespace() -> Option<String> {
    Some(std::fs::read_link("/proc/self/ns/mnt").ok()?.to_string_lossy().into_owned())
}

fn since_boot(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_that_is_not_told_is_nobody_elses() {
        assert_eq!(named(Some("0b9e-77\n")), "0b9e-77");
        for untold in [None, Some(""), Some("\n")] {
            assert_ne!(named(untold), named(untold));
        }
        assert_eq!(reading().boot_id, reading().boot_id);
    }
}
