//! Nothing that is logged, at any level, names a session or a password.
//!
//! In a process of its own: what is logged where is a setting of the whole process.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/support.rs"]
mod support;

use std::sync::{Arc, Mutex};

use cleanup_core::policy::SessionPolicy;
use cleanup_pg_sessions::Strategy;

use crate::support::{Db, apply, apply_by, plan};

/// Collects what is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged at any level while sessions go, triggers shout, keys hold and connections fail.
#[test]
fn no_session_and_no_password_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reports = tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let db = Db::shared();
            db.sql(
                "create table tutor_sessions (session_id text primary key, last_activity timestamptz);
                 create table answers (session text references tutor_sessions);
                 insert into tutor_sessions select 'topsecret' || n, now() - n * interval '1 hour' from generate_series(1, 50) n;
                 insert into answers values ('topsecret7');
                 create function shout() returns trigger language plpgsql as $$
                   begin raise notice 'gone: %', old.session_id; raise warning 'gone: %', old.session_id;
                   if old.session_id = 'topsecret9' then raise exception 'no: %', old.session_id; end if; return old; end $$;
                 create trigger shout before delete on tutor_sessions for each row execute function shout()",
            );
            let policy = SessionPolicy { batch_size: 50, ..db.policy() };
            let mut reports = vec![plan(&policy).await, apply_by(Strategy::IndexOrder, &policy).await, apply_by(Strategy::HeapOrder, &policy).await];
            db.sql("drop trigger shout on tutor_sessions");
            reports.push(apply(&policy).await);
            assert_eq!((reports[1].counts.removed, reports[3].counts.removed), (47, 1));
            for url in [
                "postgresql://ann:hunter2@127.0.0.1:1/app?password=hunter2&passfile=hunter2&sslpassword=hunter2",
                "postgresql://ann:hunter2@127.0.0.1:1/app?sslmode=hunter2",
                "postgresql://ann:hunter2@a,b/app",
            ] {
                reports.push(apply(&crate::support::policy(url)).await);
            }
            reports
        })
    });
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("sweeping"), "the log sees something");
    for secret in ["topsecret", "hunter2"] {
        assert!(!logged.contains(secret), "{}", logged.lines().find(|line| line.contains(secret)).unwrap_or_default());
        assert!(!format!("{reports:?}").contains(secret));
    }
}
