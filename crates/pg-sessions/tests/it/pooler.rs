//! Between us and the server: a pooler that changes the server connection after every transaction, and connections with
//! time zones of their own.
//!
//! The pooler is a proxy of a hundred lines that speaks just enough of the protocol: it knows where a message ends and
//! what `ReadyForQuery` says about the transaction.

use std::path::Path;
use std::str::FromStr as _;

use cleanup_core::policy::SessionPolicy;
use cleanup_core::report::PolicyStatus;
use cleanup_pg_sessions::{Severity, Strategy};
use cleanup_test_postgres::Pooler;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::support::{Db, apply_by, now, plan, policy};

/// Serves clients of `db` for as long as the test runs; returns its URL.
async fn pooler(db: &Db<'_>, zone: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = db.server.socket_dir().join(".s.PGSQL.5432");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                // An error is a client or a server that has gone.
                let _ = serve(client, &socket, zone).await;
            });
        }
    });
    format!("postgresql://postgres@{address}/{}?sslmode=disable", db.name)
}

async fn serve(mut client: TcpStream, socket: &std::path::Path, zone: &str) -> std::io::Result<()> {
    let startup = rewrite(&packet(&mut client, None).await?, zone);
    let mut servers = Vec::new();
    for index in 0..3 {
        let mut server = UnixStream::connect(socket).await?;
        server.write_all(&startup).await?;
        let welcome = until_ready(&mut server).await?;
        if index == 0 {
            client.write_all(&welcome.0).await?;
        }
        servers.push(server);
    }
    let (mut turn, mut pending) = (0, Vec::new());
    loop {
        let kind = client.read_u8().await?;
        pending.extend(packet(&mut client, Some(kind)).await?);
        if kind == b'X' {
            return Ok(());
        }
        if kind == b'Q' || kind == b'S' {
            let server = &mut servers[turn % 3];
            server.write_all(&pending).await?;
            pending.clear();
            let (answer, status) = until_ready(server).await?;
            client.write_all(&answer).await?;
            if status == b'I' {
                turn += 1;
            }
        }
    }
}

/// Everything up to `ReadyForQuery`, and the state of the transaction.
async fn until_ready(server: &mut UnixStream) -> std::io::Result<(Vec<u8>, u8)> {
    let mut answer = Vec::new();
    loop {
        let kind = server.read_u8().await?;
        let message = packet(server, Some(kind)).await?;
        answer.extend(&message);
        if kind == b'Z' {
            return Ok((answer, message[5]));
        }
    }
}

async fn packet(from: &mut (impl tokio::io::AsyncRead + Unpin), kind: Option<u8>) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let start = message.len();
    message.resize(start + length as usize - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}

/// The start-up message with another time zone.
fn rewrite(startup: &[u8], zone: &str) -> Vec<u8> {
    let wanted = b"TimeZone\0UTC\0";
    let at = startup.windows(wanted.len()).position(|window| window == wanted).unwrap();
    let mut message = startup[..at].to_vec();
    message.extend(format!("TimeZone\0{zone}\0").as_bytes());
    message.extend(&startup[at + wanted.len()..]);
    let length = u32::try_from(message.len()).unwrap();
    message[..4].copy_from_slice(&length.to_be_bytes());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_in_transaction_mode_nothing_depends_on_the_session() {
    let db = Db::shared().with_sessions(3000, 50);
    let policy = policy(&pooler(&db, "UTC").await);
    assert_eq!(plan(&policy).await.counts.due, 3000);
    for (strategy, expired) in [(Strategy::IndexOrder, 3000), (Strategy::HeapOrder, 2000)] {
        let report = apply_by(strategy, &SessionPolicy { batch_size: 50, ..policy.clone() }).await;
        assert_eq!(
            (report.status, report.counts.removed),
            (PolicyStatus::Ok, expired),
            "{strategy:?} {:?}",
            report.message
        );
        db.sql("delete from tutor_sessions");
        db.add_sessions(2000, 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_pgbouncer_in_transaction_mode_everything_works() {
    let db = Db::shared().with_sessions(2000, 50);
    let Some(pooler) = Pooler::start(db.server).unwrap() else {
        assert!(std::env::var_os("CI").is_none(), "pgbouncer is not installed");
        eprintln!("SKIPPED: pgbouncer is not installed");
        return;
    };
    let url = pooler.url(&db.name);
    db.sql(
        "create table answers (session_id varchar(36) references tutor_sessions on delete cascade);
         create index on answers (session_id); insert into answers values ('e1'), ('e2'), ('l1')",
    );

    // A client is given another server connection for its next transaction.
    let options = PgConnectOptions::from_str(&url).unwrap().extra_float_digits(None).statement_cache_capacity(0);
    let connect = || async { options.connect().await.unwrap() };
    let (mut one, mut other) = (connect().await, connect().await);
    let pid = async |client: &mut sqlx::PgConnection| {
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(client).await.unwrap();
        sqlx::Row::get::<i32, _>(&row, 0)
    };
    for client in [&mut one, &mut other] {
        sqlx::raw_sql("begin").execute(client).await.unwrap();
    }
    let (first, second) = (pid(&mut one).await, pid(&mut other).await);
    assert_ne!(first, second);
    for client in [&mut one, &mut other] {
        sqlx::raw_sql("commit").execute(client).await.unwrap();
    }
    assert_eq!(pid(&mut one).await, second, "the one that came back last goes out first");

    let policy = SessionPolicy { batch_size: 50, ..policy(&url) };
    let findings = cleanup_pg_sessions::check(&policy, Path::new("/"), now()).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Advice), "{findings:?}");
    assert_eq!(plan(&policy).await.counts.due, 2000);
    for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
        let report = apply_by(strategy, &policy).await;
        assert_eq!(
            (report.status, report.counts.removed),
            (PolicyStatus::Ok, 2000),
            "{strategy:?} {:?}",
            report.message
        );
        assert_eq!(db.sql("select string_agg(session_id, ' ') from answers"), "l1", "{strategy:?}");
        db.sql("delete from tutor_sessions");
        db.add_sessions(2000, 50);
        db.sql("insert into answers values ('e1'), ('e2'), ('l1')");
    }
    // Nothing that we set stays behind for the application.
    for (setting, expected) in [("lock_timeout", "0"), ("jit", "on"), ("search_path", "\"$user\", public")] {
        for client in [&mut one, &mut other] {
            let row = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("show {setting}"))).fetch_one(client).await.unwrap();
            assert_eq!(sqlx::Row::get::<String, _>(&row, 0), expected, "{setting}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_zone_of_the_connection_does_not_change_what_goes() {
    for zone in ["America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"] {
        for column in ["timestamptz", "timestamp"] {
            let db = Db::shared();
            db.sql(&format!(
                "create table tutor_sessions (session_id text, last_activity {column});
                 create index on tutor_sessions (last_activity);
                 set timezone = 'UTC';
                 insert into tutor_sessions values ('due', now() - interval '121 minutes'), ('young', now() - interval '119 minutes')"
            ));
            let url = pooler(&db, zone).await;
            let mut check = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
            // A named statement would not survive this pooler; a simple query does.
            let row = sqlx::raw_sql("show timezone").fetch_one(&mut check).await.unwrap();
            assert_eq!(sqlx::Row::get::<String, _>(&row, 0), zone);
            let policy = SessionPolicy {
                activity_time_zone: (column == "timestamp").then(|| "UTC".to_owned()),
                batch_size: 1,
                ..policy(&url)
            };
            for strategy in [Strategy::IndexOrder, Strategy::HeapOrder] {
                assert_eq!(apply_by(strategy, &policy).await.status, PolicyStatus::Ok);
                assert_eq!(db.sql("select session_id from tutor_sessions"), "young", "{zone} {column} {strategy:?}");
            }
        }
    }
}
