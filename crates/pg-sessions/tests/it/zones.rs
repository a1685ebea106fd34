//! Wall-clock times in SQLite, as Django writes them without `USE_TZ`.

use std::path::Path;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{MaxAge, SessionPolicy};
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::Connection as _;

use crate::support::{apply_by, file_with, message, now, plan};

const ZONES: [&str; 5] =
    ["America/New_York", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati"];

async fn left(file: &mut sqlx::SqliteConnection) -> Vec<String> {
    sqlx::query_scalar("select session_id from tutor_sessions order by session_id").fetch_all(file).await.unwrap()
}

/// Texts of the zone beside texts that name their offset: what goes is what a reader who knows zones finds idle.
#[tokio::test(flavor = "multi_thread")]
async fn local_texts_go_by_the_moment_that_they_mean() {
    let folder = tempfile::tempdir().unwrap();
    for (index, name) in ZONES.into_iter().enumerate() {
        let zone = TimeZone::get(name).unwrap();
        let (strategy, create) = [
            (Strategy::IndexOrder, "create index ix on tutor_sessions (last_activity)"),
            (Strategy::HeapOrder, ""),
            (Strategy::IndexOrder, ""),
        ][index % 3];
        let (mut rows, mut live) = (Vec::new(), Vec::new());
        let started = Timestamp::now();
        for n in 0..400_i64 {
            // From 20 hours before to an hour after, never within half a minute of the limit.
            let minutes = n * 3 - 60;
            let stamp = started - SignedDuration::from_secs(minutes * 60 + 30);
            let wall = stamp.to_zoned(zone.clone());
            let shown = match n % 4 {
                0 => wall.strftime("%Y-%m-%d %H:%M:%S"),
                1 => wall.strftime("%Y-%m-%dT%H:%M:%S%.6f"),
                2 => wall.strftime("%Y-%m-%d %H:%M:%S%:z"),
                _ => stamp.strftime("%Y-%m-%dT%H:%M:%SZ"),
            };
            rows.push(format!("('s{n:03}', '{shown}')"));
            if minutes < 120 {
                live.push(format!("s{n:03}"));
            }
        }
        let setup = format!(
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             insert into tutor_sessions values {}; {create}",
            rows.join(", ")
        );
        let (policy, mut file) = file_with(folder.path(), &setup).await;
        let policy = SessionPolicy { activity_time_zone: Some(name.to_owned()), batch_size: 50, ..policy };
        let due = 400 - u64::try_from(live.len()).unwrap();
        assert_eq!(plan(&policy).await.counts.due, due, "{name}");
        let stats = cleanup_pg_sessions::stats(&policy, Path::new("/"), now()).await.unwrap();
        let age = |moment: Option<Moment>| now().since(moment.unwrap()).unwrap().as_secs() / 60;
        assert!(
            (1136..=1140).contains(&age(stats.oldest)) || age(stats.oldest).abs_diff(1137) <= 61,
            "{name} {stats:?}"
        );
        let report = apply_by(strategy, &policy).await;
        assert_eq!((report.status, report.counts.removed), (PolicyStatus::Ok, due), "{name} {report:?}");
        assert_eq!(left(&mut file).await, live, "{name}");
        file.close().await.unwrap();
    }
}

/// Read as UTC, local times of the west look hours older; those of the east lie ahead, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_zone_times_that_lie_ahead_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let wall =
        Timestamp::now().to_zoned(TimeZone::get("Asia/Kolkata").unwrap()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let setup = format!(
        "create table tutor_sessions (session_id text primary key, last_activity datetime); insert into tutor_sessions values ('l', '{wall}')"
    );
    let (policy, file) = file_with(folder.path(), &setup).await;
    let report = apply_by(Strategy::HeapOrder, &policy).await;
    assert!(message(&report).contains("is 5h") && message(&report).contains("ahead"), "{report:?}");
    let zoned = SessionPolicy { activity_time_zone: Some("Asia/Kolkata".to_owned()), ..policy };
    assert_eq!(apply_by(Strategy::HeapOrder, &zoned).await.message, None);
    file.close().await.unwrap();
}

/// When summer time ends, an hour of wall-clock times happens twice; a text of it may mean the later one.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_night_summer_time_ends_no_session_goes_early() {
    let folder = tempfile::tempdir().unwrap();
    // The cutoff is 01:59:30 of the first round.
    let cutoff: Timestamp = "2025-11-02T05:59:30Z".parse().unwrap();
    let idle: Duration = Timestamp::now().duration_since(cutoff).unsigned_abs();
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let (policy, mut file) = file_with(
            folder.path(),
            "create table tutor_sessions (session_id text primary key, last_activity datetime);
             insert into tutor_sessions values ('second 01:05', '2025-11-02 01:05:00'), ('00:59', '2025-11-02 00:59:00'),
               ('02:30', '2025-11-02 02:30:00'), ('first 01:05', '2025-11-02 01:05:00-04:00')",
        )
        .await;
        let mut policy = SessionPolicy { activity_time_zone: Some("America/New_York".to_owned()), ..policy };
        policy.rule.max_age = MaxAge::new(idle);
        let report = apply_by(strategy, &policy).await;
        assert_eq!(report.counts.removed, 2, "{report:?}");
        assert_eq!(left(&mut file).await, ["02:30", "second 01:05"]);
        file.close().await.unwrap();
    }
}
