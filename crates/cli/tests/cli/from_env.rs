//! `init --from-env`: from a database's URL in the environment to a working sweep, for the table of every framework.

use std::process::Command;

use cleanup_test_postgres::frameworks::{EMBEDDED, Framework, SERVER};

use crate::world::{Ran, World};

/// The columns that do not say their zone get a grace of a day.
const DAY_MINUTES: i64 = 24 * 60;

/// The seeds' own table, as SQLAlchemy makes it.
const TUTOR_SESSIONS: &str = "\
create table tutor_sessions (session_id varchar(36) not null primary key, visual_language text, history json,
  session_metadata json, created_at timestamp not null, last_activity timestamp not null)";

fn run_with(world: &World, url: &str, line: &str) -> Ran {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    world.ran(world.command(&arguments).env("DATABASE_URL", url).output().unwrap())
}

fn sqlite(world: &World, sql: &str) -> String {
    let python = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  print(' '.join(str(r[0]) for s in sys.argv[2].split(';\\n') for r in c.execute(s)))";
    let ran = Command::new("python3").args(["-c", python]).arg(world.path("app.db")).arg(sql).output().unwrap();
    assert!(ran.status.success(), "{sql}\n{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// The file that was written, without its password and with few lines.
fn written(world: &World, framework: &str) -> String {
    let text = std::fs::read_to_string(world.path("cleanup.toml")).unwrap();
    assert!(text.starts_with("#:schema ./cleanup.toml.schema.json\n"), "{framework}\n{text}");
    assert!(!text.contains("hunter2"), "{framework}\n{text}");
    for section in text.split("\n[").skip(1) {
        let keys: Vec<&str> = section.lines().skip(1).take_while(|line| line.contains(" = ")).collect();
        assert!(keys[0].ends_with("= \"${DATABASE_URL}\"") && keys.len() <= 6, "{framework}\n{text}");
    }
    text
}

/// Minutes after the moment that is written down at which a row goes.
fn limit(framework: &Framework, text: &str) -> i64 {
    let grace = if text.lines().any(|line| line.starts_with("grace")) { DAY_MINUTES } else { 0 };
    framework.limit + grace
}

#[test]
fn an_empty_folder_and_the_url_of_a_database_end_in_a_sweep_of_exactly_what_is_due() {
    let server = cleanup_test_postgres::shared().unwrap();
    for framework in SERVER {
        let (name, world) = (framework.name, World::new());
        let database = server.create_database().unwrap();
        server.psql(&database, framework.schema).unwrap();
        // As SQLAlchemy has it, and with a password that nobody asks for.
        let url = server.url(&database).replacen("postgresql://", "postgresql+psycopg2://postgres:hunter2@", 1);

        // The numbers of a policy come from its rows.
        server.psql(&database, &framework.rows()).unwrap();
        let said = run_with(&world, &url, "init --from-env DATABASE_URL");
        let text = written(&world, name);
        let rows =
            format!("truncate {} cascade;\n{}", framework.table(), framework.rows_after(limit(framework, &text)));
        server.psql(&database, &rows).unwrap();
        assert!(said.is_fine().contains(": 7 rows, "), "{name}: {said}");
        run_with(&world, &url, "config check").is_fine();
        assert_eq!(run_with(&world, &url, "").is_fine(), "Removed 4 sessions.\n", "{name}\n{text}");
        let id = framework.id_column();
        let left = format!("select string_agg(trim(\"{id}\"), ' ' order by \"{id}\") from {}", framework.table());
        assert_eq!(server.psql(&database, &left).unwrap(), "l1 l2 l3", "{name}\n{text}");
    }
}

#[test]
fn so_does_the_url_of_a_file() {
    for framework in EMBEDDED {
        let (name, world) = (framework.name, World::new());
        let utc = name.contains("Django");
        let rows = |limit| {
            let rows = framework.rows_after(limit);
            // Where nobody names a zone it is UTC.
            if utc { rows.replace("'330 minutes', ", "") } else { rows }
        };
        for statement in framework.schema.split(";\n").chain([&*rows(framework.limit)]) {
            sqlite(&world, statement);
        }
        let said = run_with(&world, "sqlite:///app.db", "init --from-env DATABASE_URL");
        let text = written(&world, name);
        assert!(said.is_fine().contains(": 7 rows, "), "{name}: {said}");
        sqlite(&world, &format!("delete from {};\n{}", framework.table(), rows(limit(framework, &text))));
        run_with(&world, "sqlite:///app.db", "config check").is_fine();
        assert_eq!(run_with(&world, "sqlite:///app.db", "").is_fine(), "Removed 4 sessions.\n", "{name}\n{text}");
        let id = framework.id_column();
        assert_eq!(sqlite(&world, &format!("select {id} from {} order by 1", framework.table())), "l1 l2 l3", "{name}");
    }
}

#[test]
fn two_frameworks_in_one_database_and_what_only_looks_like_sessions() {
    let server = cleanup_test_postgres::shared().unwrap();
    let database = server.create_database().unwrap();
    let laravel = SERVER.iter().find(|framework| framework.name == "Laravel").unwrap();
    server
        .psql(
            &database,
            &format!(
                "{}; {TUTOR_SESSIONS}; create table users (id int primary key, last_activity timestamptz);
                 create table sessions_by_day (day date, sessions int);
                 create table \"api.tokens\" (token text primary key, expires_at timestamptz);
                 create table login_attempts (id int primary key, created_at bigint)",
                laravel.schema
            ),
        )
        .unwrap();
    let world = World::new();
    let url = server.url(&database);
    let mut command = world.command(&["init", "--from-env", "DATABASE_URL"]);
    let said = world.ran(command.env("DATABASE_URL", &url).env("SESSION_LIFETIME", "20160").output().unwrap());
    insta::assert_snapshot!(said, @r#"
    exit 0
    ── stdout
    Wrote cleanup.toml:
      sessions  Laravel, table sessions: 0 rows, 0 would be removed now
      tutor_sessions  Tutor sessions, table tutor_sessions: 0 rows, 0 would be removed now
    Commented out: "api.tokens"
    Then:
      cleanup config check   validate it
      cleanup --dry-run      preview the removals
      cleanup                sweep
    ── stderr
    "#);
    insta::assert_snapshot!(written(&world, "two"), @r#"
    #:schema ./cleanup.toml.schema.json
    # The session tables of the database in DATABASE_URL. For editors: cleanup config schema > cleanup.toml.schema.json

    # Laravel. Set max_idle to the SESSION_LIFETIME of the application, 120 minutes by default.
    [sessions.sessions]
    url             = "${DATABASE_URL}"
    table           = "sessions"
    id_column       = "id"
    activity_column = "last_activity"
    max_idle        = "20160m"

    # Tutor sessions. max_idle is the service's own limit.
    [sessions.tutor_sessions]
    url                = "${DATABASE_URL}"
    table              = "tutor_sessions"
    id_column          = "session_id"
    activity_column    = "last_activity"
    max_idle           = "2h"
    activity_time_zone = "UTC"

    # These look like session tables too. Set how long rows are kept, and remove the `#`.
    #
    # [sessions.api-tokens]
    # url            = "${DATABASE_URL}"
    # table          = '"api.tokens"'
    # id_column      = "token"
    # expires_column = "expires_at"
    "#);
    run_with(&world, &url, "config check").is_fine();
    assert_eq!(run_with(&world, &url, "").is_fine(), "");
}

#[test]
fn where_nothing_is_known_nothing_is_written() {
    let world = World::new();
    for statement in ["create table users (id integer)", "create table voucher (id text, data blob, expiry_date text)"]
    {
        sqlite(&world, statement);
    }
    let url = "sqlite:///app.db";
    let said = run_with(&world, url, "init --from-env DATABASE_URL");
    insta::assert_snapshot!(said, @r#"
    exit 1
    ── stdout
    ── stderr
    error: none of the 2 tables is a known session table, so nothing was written; checked users, voucher
    If one of them contains sessions, add it to cleanup.toml:

    [sessions.NAME]
    url             = "${DATABASE_URL}"
    table           = "TABLE"
    id_column       = "ID"
    activity_column = "LAST_ACTIVITY"
    max_idle        = "30d"
    "#);
    assert!(!world.path("cleanup.toml").exists());
    // Rows that no unit of time explains.
    let symfony = "create table sessions (sess_id text primary key, sess_data blob, sess_lifetime integer, sess_time integer);\n\
                   insert into sessions values ('a', '', 1440, unixepoch())";
    sqlite(&world, symfony);
    let said = run_with(&world, url, "init --from-env DATABASE_URL");
    assert!(said.err.contains("sessions (Symfony): its column sess_lifetime holds no plausible times"), "{said}");
    assert!(!world.path("cleanup.toml").exists());
}

#[test]
fn a_url_stays_in_the_environment() {
    let world = World::new();
    let refused = world.run("init --from-env postgresql://ann:hunter2@db/app");
    refused.exits(2);
    assert!(refused.err.contains("--from-env takes the name of a variable") && !refused.err.contains("hunter2"));
    assert_eq!(world.run("init --from-env DATABASE_URL").exits(1), "");
    for url in
        ["mysql://ann:hunter2@db/app", "postgresql://ann:hunter2@127.0.0.1:1/app", "hunter2", "sqlite:///none.db"]
    {
        let refused = run_with(&world, url, "init --from-env DATABASE_URL");
        assert_eq!(refused.exits(1), "", "{url}");
        assert!(
            refused.err.starts_with("error: DATABASE_URL: ") && !refused.err.contains("hunter2"),
            "{url}: {refused}"
        );
    }
    assert!(!world.path("cleanup.toml").exists());
    world.write("cleanup.toml", "# mine");
    let refused = run_with(&world, "sqlite:///app.db", "init --from-env DATABASE_URL");
    assert_eq!(refused.err, "error: cleanup.toml already exists; it was left alone\n");
}
