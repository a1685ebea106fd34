//! `explain --session`: one row by its key, and what `config check` says of a table.

use std::process::Command;

use cleanup_test_postgres::Server;

use crate::world::World;

const ROWS: &str = "\
create table visits (id {key} primary key, seen timestamptz, kind text default 'web');
create index visits_seen on visits (seen);
create table notes (visit {key} references visits (id));
create index on notes (visit);
create table hits (visit {key} references visits (id) on delete cascade);
create index on hits (visit);
insert into visits values
  ({due}, now() - interval '3 hours', default), ({young}, now() - interval '1 hour', default), ({timeless}, null, default),
  ({implausible}, '0001-01-01', default), ({endless}, 'infinity', default), ({future}, now() + interval '1 hour', default),
  ({referenced}, now() - interval '4 hours', default), ({other}, now() - interval '5 hours', 'api');
insert into notes values ({referenced});
insert into hits values ({due}), ({due}), ({young});
";

const NAMES: [&str; 8] = ["due", "young", "timeless", "implausible", "endless", "future", "referenced", "other"];

fn world(url: &str, more: &str) -> World {
    let world = World::new();
    world.write(
        "cleanup.toml",
        &format!(
            "[sessions.visits]\nurl = \"{url}\"\ntable = \"visits\"\nid_column = \"id\"\nactivity_column = \"seen\"\n\
             max_idle = \"2h\"\nevery = \"1h\"\nwhere = {{ kind = \"web\" }}\n{more}"
        ),
    );
    world
}

/// A database with the rows above, and the key of each.
fn database(server: &Server, key: &str, value: impl Fn(usize) -> String) -> (String, Vec<String>) {
    let database = server.create_database().unwrap();
    let keys: Vec<String> = (0..NAMES.len()).map(value).collect();
    let sql = NAMES.iter().zip(&keys).fold(ROWS.replace("{key}", key), |sql, (name, value)| {
        sql.replace(&format!("{{{name}}}"), &format!("'{value}'"))
    });
    server.psql(&database, &sql).unwrap();
    (database, keys)
}

#[test]
fn a_row_is_explained_by_keys_of_every_type_and_its_key_never_repeated() {
    let server = cleanup_test_postgres::shared().unwrap();
    for (key, value) in [
        ("text", (|n| format!("secret.{n}")) as fn(usize) -> String),
        ("char(36)", |n| format!("secret{n}")),
        ("bigint", |n| format!("{}", 7_000_000_000_u64 + n as u64)),
        ("smallint", |n| format!("{}", 10_000 + n)),
        ("numeric", |n| format!("{n}0000000000000000000000.5")),
        ("uuid", |n| format!("2f6a4c3e-b9d1-4a5c-88e2-f4610000000{n}")),
        ("bytea", |n| format!("\\x00ff0{n}")),
        ("name", |n| format!("secret {n}")),
    ] {
        let (database, keys) = database(server, key, value);
        let world = world(&server.url(&database), "");
        let mut line = vec!["explain", "--session", "visits"];
        line.extend(keys.iter().map(String::as_str));
        let told = world.ran(world.command(&line).output().unwrap());
        let text = told.is_fine();
        for key in &keys {
            assert!(!text.contains(key.as_str()), "{key}: {told}");
        }
        let verdicts: Vec<&str> = text
            .lines()
            .filter(|line| ["due  ", "keep ", "left "].iter().any(|word| line.trim_start().starts_with(word)))
            .map(str::trim)
            .collect();
        let expected = [
            "due         last activity 3h ago, longer than max_idle 2h",
            "keep        last activity 1h ago, within max_idle 2h",
            "keep        seen is null; such rows always stay",
            "keep        without a plausible time: seen is before 2000 or more than ten years ahead",
            "keep        seen is infinite; such rows always stay",
            "keep        last activity 59m 59s ahead, stamped in the future; one of the clocks is wrong",
            "keep        last activity 4h ago, longer than max_idle 2h; still referenced by a row of another table",
            "left alone  not a row of this policy: its `where` excludes it",
        ];
        assert_eq!(verdicts.len(), expected.len(), "{key}: {told}");
        for (verdict, expected) in verdicts.iter().zip(expected) {
            // Seconds pass.
            let alike = |text: &str| text.replace(" 0s", "").split(" ago").next().unwrap()[..12].to_owned();
            assert_eq!(alike(verdict), alike(expected), "{key}: {verdict}");
            let rest =
                |text: &str| text.split_once(" ago").or(text.split_once(" ahead")).map(|(_, rest)| rest.to_owned());
            assert_eq!(rest(verdict), rest(expected), "{key}: {verdict}");
        }
        let missing = world.ran(world.command(&["explain", "--session", "visits", &value(9)]).output().unwrap());
        assert!(
            missing.is_fine().contains("unknown     there is no row with this key in public.visits\n"),
            "{missing}"
        );
    }
}

#[test]
fn what_holds_a_policy_back_is_said_of_its_rows() {
    let server = cleanup_test_postgres::shared().unwrap();
    let (database, keys) = database(server, "uuid", |n| format!("2f6a4c3e-b9d1-4a5c-88e2-f4610000000{n}"));
    let world = world(&server.url(&database), "max_removal_percent = 10\n");
    let sql = "insert into visits select gen_random_uuid(), now() - interval '3 hours' from generate_series(1, 200)";
    server.psql(&database, sql).unwrap();
    let due = format!("explain --session visits {}", keys[0]);
    let told = world.run(&due);
    assert!(told.is_fine().contains("  held        held back: 201 of "), "{told}");
    assert!(!told.out.contains("at the next sweep"), "{told}");
    let json = world.run(&format!("{due} --json")).json();
    let row = &json["sessions"][0];
    assert_eq!((&row["policy"], &row["answers"][0]["verdict"]), (&"visits".into(), &"remove".into()), "{json}");
    assert!(row["held"].as_str().unwrap().contains("max_removal_percent"), "{json}");
    assert!(row["answers"][0]["stamp"].is_string() && row["schedule"] == "every 1h", "{json}");
    assert!(!json.to_string().contains(&keys[0]), "{json}");

    let refused = world.run("explain --session visits not-a-uuid");
    assert!(refused.is_fine().contains("id is of type uuid, and the key is not a value of it"), "{refused}");
    world.run("explain --session vists x").exits(2);
    world.run("explain --session visits").exits(2);

    // A role that row security filters.
    let role = format!("r_{database}");
    server
        .psql(
            &database,
            &format!(
                "create role {role} login; grant select, update, delete on all tables in schema public to {role};
                 alter table visits enable row level security; create policy p on visits using (kind = 'none')"
            ),
        )
        .unwrap();
    let world = self::world(&server.url_as(&role, &database), "");
    let hidden = world.run(&due);
    assert!(hidden.is_fine().contains(", or row security hides it from this role"), "{hidden}");
}

#[test]
fn config_check_shows_each_session_policy_in_a_block() {
    let server = cleanup_test_postgres::shared().unwrap();
    let (database, _) = database(server, "bigint", |n| n.to_string());
    let sql = "drop table notes; insert into visits select 1000 + n, now() from generate_series(1, 100) n; analyze";
    server.psql(&database, sql).unwrap();
    let world = world(&server.url(&database), "");
    let told = world.run("config check");
    let text = told.is_fine();
    for line in [
        "visits  public.visits",
        "  rows        107 rows, 2 due now, 1 without a plausible time",
        "  batches     in order of the index visits_seen",
        "  along       2 rows of public.hits are removed with them (on delete cascade)",
        "  clock       agrees with this machine's",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}\n{told}");
    }
    for label in ["  oldest      ", "  newest      ", "  next due    "] {
        assert!(text.lines().any(|said| said.starts_with(label)), "{label}\n{told}");
    }
    let json = world.run("config check --json").json();
    let check = &json["sessions"][0];
    assert_eq!((&check["total_rows"], &check["due_rows"]), (&107.into(), &2.into()), "{json}");
    let batches = serde_json::json!([{ "table": "public.visits", "order": "index", "index": "visits_seen" }]);
    assert_eq!(check["batches"], batches, "{json}");
    assert_eq!(check["followers"][0]["rows"], 2, "{json}");
    assert_eq!((&check["triggers"], &check["row_security"]), (&false.into(), &false.into()), "{json}");

    // Without the index the rows go as they lie, and the statement that would help is exact.
    server.psql(&database, "drop index visits_seen").unwrap();
    let told = world.run("config check");
    assert!(told.is_fine().contains("  batches     in physical order, each page once\n"), "{told}");
    assert!(told.out.contains(r#"try: create index concurrently on "public"."visits" ("seen")"#), "{told}");
}

#[test]
fn both_know_a_file_as_well() {
    let world = world("sqlite:///app.db", "");
    let sql = "create table visits (id integer primary key, seen integer, kind text); create index seen on visits (seen);
               insert into visits values (1, unixepoch() - 86400, 'web'), (2, unixepoch(), 'web'), (3, 0, 'web'), (4, 1, 'api');";
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let made = Command::new("python3").args(["-c", python]).arg(world.path("app.db")).arg(sql).status().unwrap();
    assert!(made.success());
    let told = world.run("explain --session visits 1 2 3 4 5");
    let text = told.is_fine();
    for said in [
        "due         last activity 24h ago, longer than max_idle 2h",
        "removal     at the next sweep",
        "keep        without a plausible time: seen is before 2000",
        "left alone  not a row of this policy",
        "unknown     there is no row with this key in main.visits",
    ] {
        assert!(text.contains(said), "{said}\n{told}");
    }
    let told = world.run("config check");
    assert!(told.is_fine().contains("  rows        3 rows, 1 due now, 1 without a plausible time\n"), "{told}");
    assert!(told.out.contains("  batches     in order of the index seen\n"), "{told}");
    assert!(!told.out.contains("clock"), "{told}");
}
