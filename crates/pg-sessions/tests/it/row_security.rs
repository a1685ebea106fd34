//! Policies of row security by command: what the check and a dry run say is what the sweep then does.

use std::path::Path;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::Strategy;

use crate::support::{Db, apply, apply_by, message, now, plan};

fn secured(policies: &str) -> (Db<'static>, SessionPolicy) {
    let db = Db::shared().with_sessions(300, 5);
    let role = format!("secured_{}", db.name);
    db.sql(&format!(
        "create role {role} login; grant select, update, delete on tutor_sessions to {role};
         alter table tutor_sessions enable row level security; {policies}"
    ));
    let policy = SessionPolicy { batch_size: 50, ..crate::support::policy(&db.server.url_as(&role, &db.name)) };
    (db, policy)
}

async fn said(policy: &SessionPolicy) -> Vec<String> {
    let findings = cleanup_pg_sessions::check(policy, Path::new("/"), now()).await;
    findings.into_iter().map(|finding| finding.sentence).collect()
}

/// Deleting needs no policy for updating: only locking a row does.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_for_updating_all_goes_and_nothing_else_is_said() {
    let (db, policy) = secured(
        "create policy s on tutor_sessions for select using (true); create policy d on tutor_sessions for delete using (true)",
    );
    let sentences = said(&policy).await;
    assert!(!sentences.iter().any(|sentence| sentence.contains("they stay")), "{sentences:?}");
    assert!(sentences.iter().any(|sentence| sentence.contains("which locking a row requires")), "{sentences:?}");
    let planned = plan(&policy).await;
    assert_eq!((planned.status, planned.message.as_deref(), planned.counts.due), (PolicyStatus::Ok, None, 300));
    let report = apply(&policy).await;
    assert_eq!((report.status, report.counts.removed, db.rows()), (PolicyStatus::Ok, 300, 5), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beside_a_locked_one_that_may_not_be_locked_wait_for_the_next_run() {
    let (db, policy) = secured(
        "create policy s on tutor_sessions for select using (true); create policy d on tutor_sessions for delete using (true)",
    );
    let mut user = db.connect().await;
    let touch = "begin; update tutor_sessions set last_activity = now() where session_id = 'e1'";
    sqlx::raw_sql(touch).execute(&mut user).await.unwrap();
    let report = apply_by(Strategy::HeapOrder, &policy).await;
    assert!(report.counts.removed < 300, "{report:?}");
    sqlx::raw_sql("commit").execute(&mut user).await.unwrap();
    let next = apply(&policy).await;
    assert_eq!((next.status, report.counts.removed + next.counts.removed), (PolicyStatus::Ok, 299), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_that_policies_for_deleting_may_keep_rows() {
    let same = "create policy s on tutor_sessions for select using (session_id <> 'e1');
        create policy d on tutor_sessions for delete using (session_id <> 'e1')";
    let (_db, policy) = secured(same);
    let planned = plan(&policy).await;
    assert_eq!((planned.message.as_deref(), planned.counts.due), (None, 299), "the same for both: {planned:?}");

    let narrower = "create policy s on tutor_sessions for select using (true);
        create policy u on tutor_sessions for update using (true);
        create policy d on tutor_sessions for delete using (session_id like 'e2__')";
    let (db, policy) = secured(narrower);
    let planned = plan(&policy).await;
    assert_eq!(
        message(&planned),
        "row security of public.tutor_sessions has separate policies for delete, so a sweep may remove fewer than 300 \
         expired rows"
    );
    let report = apply(&policy).await;
    assert_eq!(
        (report.status, report.counts.removed, report.errors_total),
        (PolicyStatus::Partial, 100, 200),
        "{report:?}"
    );
    assert_eq!(db.rows(), 205);
}
