//! systemd's own calendar is asked whether a timer means what the expression means to cron.
//!
//! The other side is croner, by which the service itself runs. Away from the two nights of the year on which the clock
//! is set, both must agree on every run. On those nights they differ, and how is pinned below: what does not exist is
//! left out by systemd and made up for by cron, what comes twice is run through once.

use std::collections::BTreeSet;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use proptest::prelude::*;

use crate::support::{judge, policy, rendered, texts, verdict};

/// The `OnCalendar` lines that a policy with this schedule is given.
fn on_calendar(schedule: &str, zone: Option<&str>) -> Vec<String> {
    let zone = zone.map_or_else(String::new, |zone| format!("time_zone = \"{zone}\"\n"));
    let all = rendered(&format!("{zone}{}", policy("out", "out", schedule)));
    let timer = texts(&all)["systemd/cleanup-sweep-out.timer"];
    timer.lines().filter_map(|line| line.strip_prefix("OnCalendar=")).map(str::to_owned).collect()
}

/// When systemd would elapse after this moment, so many times for each line; `None` without systemd.
fn by_systemd(lines: &[String], after: &Timestamp, times: usize) -> Option<BTreeSet<Timestamp>> {
    let mut runs = BTreeSet::new();
    let mut end: Option<Timestamp> = None;
    for line in lines {
        let base = after.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let mut command = judge("systemd-analyze")?;
        command.args(["calendar", &format!("--base-time={base}"), &format!("--iterations={times}"), line]);
        let (good, printed) = verdict(&mut command);
        assert!(good, "{line}: {printed}");
        let own: Vec<Timestamp> = printed.lines().filter_map(elapse).collect();
        // Beyond the last run of any one line nothing is known.
        end = own.last().copied().into_iter().chain(end).min();
        runs.extend(own);
    }
    runs.retain(|run| end.is_none_or(|end| *run <= end));
    Some(runs)
}

/// `    Next elapse: Mon 2026-03-30 00:30:00 UTC`, `       Iter. #2: Tue …`.
fn elapse(line: &str) -> Option<Timestamp> {
    let (what, when) = line.trim().split_once(": ")?;
    let wanted = what == "Next elapse" || what.starts_with("Iter. #");
    let (_, moment) = when.split_once(' ').filter(|_| wanted)?;
    jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S UTC", moment)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|at| at.timestamp())
}

fn parsed(expression: &str) -> Cron {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(expression).unwrap()
}

fn by_croner(cron: &Cron, after: &Zoned, times: usize) -> BTreeSet<Timestamp> {
    cron.iter_after(after.clone()).take(times).map(|run| run.timestamp()).collect()
}

/// Both, as far as the shorter knows.
fn both(expression: &str, zone: &str, after: &Timestamp, times: usize) -> Option<[BTreeSet<Timestamp>; 2]> {
    let lines = on_calendar(&format!("cron = \"{expression}\""), Some(zone));
    let mut systemd = by_systemd(&lines, after, times)?;
    let mut croner = by_croner(&parsed(expression), &after.in_tz(zone).unwrap(), times * lines.len());
    let end = (*systemd.last()?).min(*croner.last()?);
    systemd.retain(|run| *run <= end);
    croner.retain(|run| *run <= end);
    Some([systemd, croner])
}

/// One field: everything, steps, or a list of numbers and ranges.
fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        (low..=high).prop_map(|number| number.to_string()),
        (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (low..=high, low..=high, 1..=high).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
    ];
    prop_oneof![
        2 => Just("*".to_owned()),
        1 => (1..=high).prop_map(|step| format!("*/{step}")),
        3 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

/// Five fields that this project takes.
fn expression() -> impl Strategy<Value = String> {
    let name = prop_oneof![4 => field(0, 7), 1 => Just("mon-fri".to_owned()), 1 => Just("SUN,wed".to_owned())];
    let month = prop_oneof![4 => field(1, 12), 1 => Just("jan-mar,DEC".to_owned())];
    (field(0, 59), field(0, 23), field(1, 31), month, name)
        .prop_filter("cron itself and other programs disagree on these", |(_, _, day, _, weekday)| {
            let both_restricted = day != "*" && weekday != "*";
            !(both_restricted && (day.starts_with('*') || weekday.starts_with('*')))
        })
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
        .prop_filter("never fires", |text| {
            let from = date(2024, 1, 1).to_zoned(TimeZone::UTC).unwrap();
            parsed(text).find_next_occurrence(&from, true).is_ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_timer_elapses_when_cron_would_run(expression in expression(), hours in 0i64..20_000) {
        let after = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours.hours();
        if let Some([systemd, croner]) = both(&expression, "UTC", &after, 6) {
            prop_assert_eq!(systemd, croner, "{}", expression);
        }
    }

    #[test]
    fn on_a_night_on_which_the_clock_is_set_they_differ_in_that_hour_alone(
        expression in expression(), autumn in any::<bool>(), hour in 0i64..30
    ) {
        let zone = "Europe/Berlin";
        // From 02:00 to 03:00 there is no time in spring; in autumn that hour comes a second time.
        let change: Timestamp = if autumn { "2026-10-25T01:00:00Z" } else { "2026-03-29T01:00:00Z" }.parse().unwrap();
        let after = change - 24.hours() + hour.hours();
        if let Some([systemd, croner]) = both(&expression, zone, &after, 60) {
            let apart: Vec<_> = systemd.symmetric_difference(&croner).copied().collect();
            let that_hour = change - 1.hours()..change + 1.hours();
            prop_assert!(apart.iter().all(|run| that_hour.contains(run)), "{}: {:?}", expression, apart);
            if autumn {
                prop_assert!(systemd.is_subset(&croner), "{}: {:?}", expression, apart);
            }
        }
    }
}

/// Local times of the runs within a day, by systemd and by croner.
fn night(expression: &str, after: &str, hours: i64) -> Option<[Vec<String>; 2]> {
    let after: Timestamp = after.parse().unwrap();
    let both = both(expression, "Europe/Berlin", &after, 40)?;
    Some(both.map(|runs| {
        let within = runs.into_iter().filter(|run| *run <= after + hours.hours());
        within.map(|run| run.in_tz("Europe/Berlin").unwrap().strftime("%d %H:%M %Z").to_string()).collect()
    }))
}

#[test]
fn a_time_that_does_not_exist_is_left_out_by_systemd_and_made_up_for_by_cron() {
    let Some([systemd, croner]) = night("30 2 * * *", "2026-03-28T12:00:00Z", 40) else { return };
    assert_eq!(systemd, ["30 02:30 CEST"]);
    assert_eq!(croner, ["29 03:00 CEST", "30 02:30 CEST"]);
}

#[test]
fn a_time_that_comes_twice_runs_once() {
    let Some([systemd, croner]) = night("30 2 * * *", "2026-10-24T12:00:00Z", 24) else { return };
    assert_eq!(systemd, ["25 02:30 CEST"]);
    assert_eq!(croner, systemd);
}

#[test]
fn what_runs_all_the_time_pauses_in_the_hour_that_comes_twice() {
    let Some([systemd, croner]) = night("*/30 * * * *", "2026-10-24T23:45:00Z", 3) else { return };
    assert_eq!(systemd, ["25 02:00 CEST", "25 02:30 CEST", "25 03:00 CET", "25 03:30 CET"]);
    assert_eq!(
        croner,
        ["25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "25 03:00 CET", "25 03:30 CET"]
    );
}

#[test]
fn an_interval_is_as_long_on_every_night() {
    for (every, seconds) in
        [("30m", 1800), ("90s", 90), ("90m", 5400), ("6h", 21600), ("1d", 86400), ("1w", 604_800), ("10s", 10)]
    {
        let lines = on_calendar(&format!("every = \"{every}\""), Some("Europe/Berlin"));
        for night in ["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"] {
            let Some(runs) = by_systemd(&lines, &night.parse().unwrap(), 20) else { return };
            let runs: Vec<_> = runs.into_iter().collect();
            assert!(runs.len() >= 20, "{every}");
            for pair in runs.windows(2) {
                assert_eq!(pair[1].duration_since(pair[0]).as_secs(), seconds, "{every}: {pair:?}");
            }
        }
    }
}

#[test]
fn an_interval_that_no_calendar_can_say_is_counted_from_run_to_run() {
    for every in ["7m", "45s", "50m", "7h", "2d", "2w", "1500ms"] {
        let lines = on_calendar(&format!("every = \"{every}\""), None);
        assert_eq!(lines.is_empty(), every != "45s", "{every}");
    }
}
