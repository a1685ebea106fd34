//! The operator's own query: what it answers is handed on, whatever goes wrong is a reason to keep everything.

use std::path::Path;

use cleanup_core::policy::{Database, SessionPolicy};
use cleanup_core::report::Skip;
use cleanup_pg_sessions::Obstacle;

use crate::support::{Db, policy};

const QUERY: &str = "select session_metadata->>'svg' from tutor_sessions";

async fn asked(policy: &SessionPolicy, query: &str) -> Result<Vec<String>, Obstacle> {
    let mut names = Vec::new();
    let mut add = |name: &[u8]| names.push(String::from_utf8(name.to_vec()).unwrap());
    cleanup_pg_sessions::references(policy, Path::new("/"), query, &mut add).await?;
    names.sort();
    Ok(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_column_of_every_row_is_handed_on() {
    let db = Db::shared().with_sessions(0, 3);
    db.sql("update tutor_sessions set session_metadata = json_build_object('svg', session_id || '.svg') where session_id <> 'l2'");
    assert_eq!(asked(&db.policy(), QUERY).await, Ok(vec!["l1.svg".to_owned(), "l3.svg".to_owned()]));
    assert_eq!(asked(&db.policy(), "select session_id from tutor_sessions where false;").await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_can_change_nothing() {
    let db = Db::shared().with_sessions(0, 3);
    for query in [
        "delete from tutor_sessions returning session_id",
        "select 'x'; delete from tutor_sessions",
        "select nextval('s')::text",
    ] {
        let refused = asked(&db.policy(), query).await;
        assert!(matches!(refused, Err(Obstacle::Failed(_))), "{query}: {refused:?}");
    }
    assert_eq!(db.rows(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_wrong_fails_with_what_to_change() {
    let db = Db::shared().with_sessions(0, 1);
    for (query, word) in [
        ("select 1 from tutor_sessions", "::text"),
        ("select nothing from tutor_sessions", "nothing"),
        ("nonsense", "syntax"),
    ] {
        let Err(Obstacle::Failed(why)) = asked(&db.policy(), query).await else { panic!("{query}") };
        assert!(why.contains(word) && why.contains("so everything stays"), "{query}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_a_reason_to_keep_everything() {
    let nowhere = policy("postgres://127.0.0.1:1/nothing");
    let unset = SessionPolicy { database: Database::Unset { variable: "DATABASE_URL".to_owned() }, ..policy("") };
    let no_file = policy("sqlite:////nonexistent/app.db");
    for policy in [nowhere, unset, no_file] {
        let Err(Obstacle::Skipped { skip, message }) = asked(&policy, QUERY).await else { panic!("{policy:?}") };
        assert_eq!(skip, Skip::DatabaseAway);
        assert!(message.contains("so everything stays"), "{message}");
    }
}
