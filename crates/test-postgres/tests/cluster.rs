//! The cluster itself: it answers, it survives being killed, and it leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use cleanup_test_postgres::Cluster;

#[test]
fn a_cluster_serves_breaks_recovers_and_leaves_nothing_behind() {
    let cluster = Cluster::start().unwrap();
    let folder = cluster.socket_dir().to_owned();
    let database = cluster.server().create_database().unwrap();
    cluster.server().psql(&database, "create table t (n int); insert into t values (1), (2);").unwrap();

    cluster.kill().unwrap();
    assert!(cluster.server().psql(&database, "select 1").is_err());
    cluster.restart().unwrap();
    assert_eq!(cluster.server().psql(&database, "select count(*), 'x' from t").unwrap(), "2|x");

    let postmaster = postmaster(&folder);
    assert!(Path::new("/proc").join(&postmaster).exists());
    drop(cluster);
    assert!(!folder.exists());
    // The server removes its files a moment before it is gone itself.
    let (gone, deadline) = (Path::new("/proc").join(&postmaster), Instant::now() + Duration::from_secs(20));
    while gone.exists() {
        assert!(Instant::now() < deadline, "the server is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_leaves_no_server() {
    let folder = std::panic::catch_unwind(|| {
        let cluster = Cluster::start().unwrap();
        std::panic::panic_any(cluster.socket_dir().to_owned());
    })
    .unwrap_err()
    .downcast::<std::path::PathBuf>()
    .unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_standby_follows_and_is_read_only() {
    let primary = Cluster::start().unwrap();
    let standby = Cluster::standby_of(&primary).unwrap();
    assert_eq!(standby.server().psql("postgres", "select pg_is_in_recovery()").unwrap(), "t");
}

fn postmaster(folder: &Path) -> String {
    let pid = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    pid.lines().next().unwrap().to_owned()
}
