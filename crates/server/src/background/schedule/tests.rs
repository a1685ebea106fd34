use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const LAST: Spread = Spread(u64::MAX);

fn at(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

fn every(interval: Duration, last_run: Option<Moment>, started_at: Moment, now: Moment, spread: Spread) -> Moment {
    next_run(&Schedule::Every(interval), &TimeZone::UTC, last_run, started_at, now, spread)
}

fn cron(fields: &str) -> Schedule {
    Schedule::Cron(CronExpression::parse(fields).unwrap())
}

/// The runs of a job without spread, each at the moment that was named for it, in the zone's own time.
fn runs(fields: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let zone = time_zone(Some(zone)).unwrap();
    let schedule = cron(fields);
    let mut now = at(from);
    let shown = |moment: Moment| {
        let zoned = Timestamp::from_second(moment.unix_seconds()).unwrap().to_zoned(zone.clone());
        zoned.strftime("%d %H:%M%:z").to_string()
    };
    let next = |now: &mut Moment| {
        *now = next_run(&schedule, &zone, Some(*now), at(from), *now, Spread::NONE);
        shown(*now)
    };
    (0..count).map(|_| next(&mut now)).collect()
}

#[test]
fn a_run_follows_one_interval_after_the_start_of_the_last() {
    let start = at("2026-01-02T03:00:00Z");
    let last = start.plus(7 * MINUTE);
    assert_eq!(every(HOUR, Some(last), start, last.plus(MINUTE), LAST), last.plus(HOUR));
}

#[test]
fn missed_runs_are_made_up_once_soon_after_the_start() {
    let start = at("2026-01-02T03:00:00Z");
    for last_run in [None, Some(start.minus(HOUR)), Some(start.minus(900 * HOUR))] {
        assert_eq!(every(HOUR, last_run, start, start, Spread::NONE), start);
        let made_up = every(HOUR, last_run, start, start, LAST);
        assert!(made_up < start.plus(MINUTE) && made_up > start.plus(59 * Duration::from_secs(1)), "{made_up}");
        let short = every(MINUTE, None, start, start, LAST);
        assert!(short < start.plus(MINUTE / 10), "{short}");
        assert_eq!(every(HOUR, Some(made_up), start, made_up, LAST), made_up.plus(HOUR));
    }
}

#[test]
fn the_first_run_of_a_process_waits_for_its_turn() {
    let start = at("2026-01-02T03:00:00Z");
    let last = start.minus(MINUTE);
    for (interval, limit) in [(24 * HOUR, 5 * MINUTE), (10 * MINUTE, MINUTE)] {
        assert_eq!(every(interval, Some(last), start, start, Spread::NONE), last.plus(interval));
        let next = every(interval, Some(last), start, start, LAST);
        assert!(next > last.plus(interval) && next < last.plus(interval).plus(limit), "{next}");
    }
}

#[test]
fn a_clock_set_back_means_neither_silence_nor_a_storm() {
    let now = at("2026-01-02T03:00:00Z");
    let future = now.plus(9000 * HOUR);
    assert_eq!(every(HOUR, Some(future), future, now, LAST), now.plus(HOUR));
    let nightly = cron("0 4 * * *");
    assert_eq!(next_run(&nightly, &TimeZone::UTC, Some(future), future, now, Spread::NONE), now.plus(HOUR));
}

#[test]
fn a_clock_set_ahead_means_one_run() {
    let last = at("2026-01-02T03:00:00Z");
    let now = last.plus(9000 * HOUR);
    assert_eq!(every(HOUR, Some(last), last, now, LAST), now);
    assert_eq!(every(HOUR, Some(now), last, now, LAST), now.plus(HOUR));
}

#[test]
fn the_ends_of_time_are_survived() {
    let (first, last) = (Moment::from_unix(i64::MIN, 0), Moment::from_unix(i64::MAX, u32::MAX));
    for moment in [first, last, Moment::EPOCH] {
        for schedule in [Schedule::Every(Duration::MAX), Schedule::Every(Duration::ZERO), cron("* * * * *")] {
            let next = next_run(&schedule, &TimeZone::UTC, Some(moment), moment, moment, LAST);
            assert!(next >= moment, "{schedule} {moment}");
        }
    }
    assert!(every(Duration::from_nanos(1), Some(Moment::EPOCH), Moment::EPOCH, Moment::EPOCH, LAST) > Moment::EPOCH);
}

#[test]
fn turns_are_stable_and_lie_apart() {
    let turn = Spread::of("host-1", "temp-models").within(MAX_SPREAD);
    assert_eq!(turn, Duration::from_nanos(101_215_914_779), "the hash must stay what it is");
    assert_ne!(turn, Spread::of("host-2", "temp-models").within(MAX_SPREAD));
    assert_ne!(turn, Spread::of("host-1", "temp-svgs").within(MAX_SPREAD));
    assert_ne!(Spread::of("a", "bc"), Spread::of("ab", "c"));
    let mean = (0..1000).map(|host| Spread::of(&host.to_string(), "p").within(MAX_SPREAD)).sum::<Duration>() / 1000;
    assert!(mean.abs_diff(MAX_SPREAD / 2) < Duration::from_secs(10), "{mean:?}");
    assert!(LAST.within(MAX_SPREAD) < MAX_SPREAD);
    assert_eq!(LAST.within(Duration::ZERO), Duration::ZERO);
}

#[test]
fn cron_waits_at_most_half_a_minute_and_keeps_to_its_minutes() {
    let schedule = cron("* * * * *");
    let start = at("2026-01-02T03:04:05Z");
    let mut now = start;
    for minute in 5..65 {
        now = next_run(&schedule, &TimeZone::UTC, Some(now), start, now, LAST);
        let named = at("2026-01-02T03:00:00Z").plus(minute * MINUTE);
        assert!(now > named && now < named.plus(MAX_SPREAD_CRON), "{now}");
    }
}

#[test]
fn missed_cron_runs_are_made_up_once_and_unknown_ones_are_not() {
    let nightly = cron("0 3 * * *");
    let start = at("2026-01-12T10:00:00Z");
    let next = |last_run, now| next_run(&nightly, &TimeZone::UTC, last_run, start, now, Spread::NONE);
    assert_eq!(next(Some(at("2026-01-02T03:00:00Z")), start), start);
    assert_eq!(next(Some(start), start), at("2026-01-13T03:00:00Z"));
    assert_eq!(next(None, start), at("2026-01-13T03:00:00Z"));
    let slept = at("2026-01-20T12:00:00Z");
    assert_eq!(next(Some(start), slept), slept, "asleep for a week");
}

#[test]
fn a_job_in_the_skipped_hour_runs_once_right_after_it() {
    let berlin = |fields| runs(fields, "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
    assert_eq!(berlin("30 2 * * *"), ["29 03:00+02:00", "30 02:30+02:00", "31 02:30+02:00"]);
    assert_eq!(berlin("0,20,40 2 * * *"), ["29 03:00+02:00", "30 02:00+02:00", "30 02:20+02:00"]);
    assert_eq!(berlin("0 2,3 * * *"), ["29 03:00+02:00", "30 02:00+02:00", "30 03:00+02:00"]);
    let new_york = |fields| runs(fields, "America/New_York", "2026-03-07T17:00:00Z", 3);
    assert_eq!(new_york("30 2 * * *"), ["08 03:00-04:00", "09 02:30-04:00", "10 02:30-04:00"]);
    assert_eq!(new_york("59 1 * * *"), ["08 01:59-05:00", "09 01:59-04:00", "10 01:59-04:00"]);
}

#[test]
fn a_wildcard_job_is_skipped_with_the_skipped_hour() {
    let berlin = |fields, count| runs(fields, "Europe/Berlin", "2026-03-29T00:10:00Z", count);
    assert_eq!(berlin("0 * * * *", 3), ["29 03:00+02:00", "29 04:00+02:00", "29 05:00+02:00"]);
    assert_eq!(berlin("*/30 2 * * *", 2), ["30 02:00+02:00", "30 02:30+02:00"]);
    assert_eq!(berlin("*/30 * * * *", 3), ["29 01:30+01:00", "29 03:00+02:00", "29 03:30+02:00"]);
}

#[test]
fn a_job_in_the_doubled_hour_runs_once() {
    let berlin = |fields| runs(fields, "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(berlin("30 2 * * *"), ["25 02:30+02:00", "26 02:30+01:00", "27 02:30+01:00"]);
    assert_eq!(berlin("15,45 2 * * *"), ["25 02:15+02:00", "25 02:45+02:00", "26 02:15+01:00"]);
    assert_eq!(berlin("0 3 * * *"), ["25 03:00+01:00", "26 03:00+01:00", "27 03:00+01:00"]);
    let new_york = |fields| runs(fields, "America/New_York", "2026-10-31T16:00:00Z", 3);
    assert_eq!(new_york("30 1 * * *"), ["01 01:30-04:00", "02 01:30-05:00", "03 01:30-05:00"]);
}

#[test]
fn a_wildcard_job_keeps_running_through_the_doubled_hour() {
    let berlin = |fields, count| runs(fields, "Europe/Berlin", "2026-10-24T23:30:00Z", count);
    assert_eq!(berlin("0 * * * *", 4), ["25 02:00+02:00", "25 02:00+01:00", "25 03:00+01:00", "25 04:00+01:00"]);
    let twice = ["25 02:00+02:00", "25 02:30+02:00", "25 02:00+01:00", "25 02:30+01:00", "26 02:00+01:00"];
    assert_eq!(berlin("*/30 2 * * *", 5), twice);
    let new_york = runs("15 * * * *", "America/New_York", "2026-11-01T05:00:00Z", 3);
    assert_eq!(new_york, ["01 01:15-04:00", "01 01:15-05:00", "01 02:15-05:00"]);
}

#[test]
fn a_start_within_the_doubled_hour_does_not_run_a_fixed_job_again() {
    assert_eq!(runs("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["26 02:30+01:00"]);
}

#[test]
fn a_zone_that_does_not_exist_is_named_with_its_key() {
    let error = time_zone(Some("Europe/Atlantis")).unwrap_err().to_string();
    assert!(error.contains("`time_zone`") && error.contains("\"Europe/Atlantis\""), "{error}");
    assert!(time_zone(None).is_ok());
}
