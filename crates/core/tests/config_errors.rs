//! What people read when a configuration is wrong: every kind of error, as text.
//!
//! These texts are the product's face. Read a changed snapshot as someone who has never seen the source: it must name
//! the thing, the place and the way out.

use std::path::Path;

use cleanup_core::config::{Config, Source};

/// A good file policy, to which a case adds its fault.
const FILES: &str = "[files.temp]\nroot = \"out\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n";
/// A good session policy.
const SESSIONS: &str = "[sessions.tutor]\nurl = \"${DATABASE_URL}\"\ntable = \"t\"\nid_column = \"id\"\nactivity_column = \"seen\"\nmax_idle = \"2h\"\n";

fn env(name: &str) -> Option<String> {
    (name == "AGE").then(|| "ninety".to_owned())
}

fn error(text: &str) -> String {
    match Config::load(&Source { name: "cleanup.toml", text, folder: Path::new("/srv/app") }, &env) {
        Ok(_) => panic!("this loads:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// Holds the errors of several files as one snapshot.
fn shows<S: AsRef<str>>(name: &str, texts: impl IntoIterator<Item = S>) {
    let errors: Vec<String> = texts.into_iter().map(|text| error(text.as_ref())).collect();
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(name, errors.join("\n\n----------\n\n"));
    });
}

/// The file policy with a line added.
fn files(line: &str) -> String {
    format!("{FILES}{line}\n")
}

/// The session policy with a line added.
fn sessions(line: &str) -> String {
    format!("{SESSIONS}{line}\n")
}

#[test]
fn what_is_no_toml() {
    shows(
        "what_is_no_toml",
        [
            "[files.temp\nroot = 1\n",
            "[files.temp]\nroot = out\n",
            "[files.temp]\nroot = \"out\n",
            "[files.temp]\nroot = \"a\"\nroot = \"b\"\n",
            "[files.temp]\n[files.temp]\n",
            "root",
        ],
    );
}

#[test]
fn unknown_keys() {
    shows(
        "unknown_keys",
        [
            files("max_agee = \"1h\""),
            files("max_idle = \"1h\""),
            files("interval = \"1h\""),
            files("colour = \"blue\""),
            sessions("max_age = \"1h\""),
            "[file.temp]\nroot = \"out\"\n".to_owned(),
            "[server]\nport = 8000\n".to_owned(),
            "[server]\nlisten_address = 8000\nhost = \"x\"\n".to_owned(),
            "timezone = \"UTC\"\n".to_owned(),
            "\"\\u001b[31mred\" = 1\n".to_owned(),
            files("min_free = { lo = \"5%\" }"),
        ],
    );
}

#[test]
fn wrong_types() {
    shows(
        "wrong_types",
        [
            "[files.temp]\nroot = 5\ninclude = \"*.svg\"\nmax_age = 90\nrecursive = \"yes\"\nmax_depth = -1\n"
                .to_owned(),
            "[files.temp]\nroot = \"out\"\ninclude = [\"*.svg\", 5]\nmax_age = 1.5\n".to_owned(),
            "[files]\nroot = \"out\"\ninclude = [\"*\"]\n".to_owned(),
            "files = 5\nserver = \"x\"\n".to_owned(),
            "[[files.temp]]\nroot = \"out\"\n".to_owned(),
            "[[files.temp]]\nroot = 5\n".to_owned(),
            "server = [\"127.0.0.1:8000\"]\nstate = [\"none\"]\n".to_owned(),
            "[files]\ntemp = [\"out\"]\n".to_owned(),
            files("stamp = 5"),
            files("stamp = { is = 5 }"),
            files("enabled = \"yes\""),
            files("enabled = 1"),
            files("every = 1979-05-27"),
            files("max_files = -5"),
            files("min_free = true"),
            files("keep_referenced = \"tutor\""),
            files("keep_referenced = { sessions = \"tutor\" }"),
            sessions("batch_size = 5000000000"),
        ],
    );
}

#[test]
fn unknown_values() {
    shows(
        "unknown_values",
        [
            files("stamp = \"mtim\""),
            files("stamp = \"modified\""),
            files("mode = \"dry-run\""),
            sessions("pace = \"offhours\""),
        ],
    );
}

#[test]
fn durations_and_sizes() {
    let age = |age: &str| FILES.replace("\"1h\"", age);
    shows(
        "durations_and_sizes",
        [
            age("\"90\""),
            age("\"1mo\""),
            age("\"-5m\""),
            age("\"soon\""),
            age("\"\""),
            age("\"0s\""),
            age("\"${AGE}\""),
            files("max_total_size = \"ten\""),
            files("max_total_size = -5"),
            files("min_free = \"110%\""),
            files("min_free = 10"),
            files("min_free = { high = \"5%\" }"),
            files("weight = 0"),
        ],
    );
}

#[test]
fn variables() {
    let root = |root: &str| FILES.replace("\"out\"", root);
    shows(
        "variables",
        [
            root("\"${OUTPUT}\""),
            root("\"${OUTPUT\""),
            root("\"${OUT PUT}\""),
            files("every = \"${EVERY}\""),
            sessions("table = \"x\"").replacen("table = \"t\"\n", "", 1).replace("\"x\"", "\"${TABLE}\""),
        ],
    );
}

#[test]
fn names() {
    let named = |name: &str| FILES.replace("files.temp", &format!("files.{name}"));
    shows(
        "names",
        [
            named("\"Temp Files\""),
            named("-temp"),
            named("\"\""),
            named(&"x".repeat(65)),
            format!("{FILES}{}", SESSIONS.replace("sessions.tutor", "sessions.temp")),
        ],
    );
}

#[test]
fn roots() {
    let root = |root: &str| FILES.replace("\"out\"", root);
    shows("roots", [root("\"/\""), root("\"x/../../..\""), root("\"\""), root("\"a\\u0000b\""), root("\"~/out\"")]);
}

#[test]
fn patterns() {
    let include = |list: &str| FILES.replace("[\"*.svg\"]", list);
    shows(
        "patterns",
        [
            include("[]"),
            include("[\n  \"*.svg\",\n  \"[a\",\n  \"/tmp/*\",\n  \"../*\",\n  \"\",\n  \"{a\",\n]"),
            files("archives = [\"a\", \"{b\"]\nexclude = [\"[z-a]\"]"),
            files("exclude = [\"!a.tmp\", \"keep//g\", \"keep/\"]\narchives = [\"*.jpg,*.png\"]"),
            files("exclude = [\n  \"keep[/]\",\n  \"keep[_/]*\",\n  \"[.]\",\n  'keep\\/',\n  \"[[:digit:]]*\",\n]"),
            include("[\"logs/\"]"),
            include("[\"logs/*.log\"]"),
            include("[\"a/b/*\"]\nrecursive = true\nmax_depth = 2"),
            include("[\"export-*/\", \"a/b\"]\nunit = \"directory\"\nexclude = [\"a/keep\", \"b/\"]"),
        ],
    );
}

#[test]
fn incomplete_policies() {
    shows(
        "incomplete_policies",
        [
            "[files.temp]\n",
            "[files.temp]\nroot = \"out\"\ninclude = [\"*\"]\n",
            "[sessions.tutor]\n",
            "[sessions.tutor]\ntable = \"\"\n",
        ],
    );
}

#[test]
fn keys_that_do_not_go_together() {
    shows(
        "keys_that_do_not_go_together",
        [
            files("min_age = \"2h\""),
            files("max_depth = 2"),
            files("recursive = true\nmax_depth = 0"),
            files("remove_empty_dirs = true"),
            files("max_removal_percent = 0"),
            files("max_runtime = \"0s\""),
            files("every = \"1h\"\ncron = \"0 3 * * *\""),
            files("every = \"0s\""),
        ],
    );
}

#[test]
fn schedules() {
    shows(
        "schedules",
        [
            files("cron = \"0 3 * *\""),
            files("cron = \"@daily\""),
            files("cron = \"0 25 * * *\""),
            files("cron = \"0 3 L * *\""),
            files("cron = \"0 0 30 2 *\""),
            "time_zone = \"Berlin, Germany\"\n".to_owned(),
        ],
    );
}

#[test]
fn databases() {
    let url = |url: &str| SESSIONS.replace("${DATABASE_URL}", url);
    shows(
        "databases",
        [
            url("mysql://app:secret@db/app"),
            url("db.example.org/app"),
            url("Postgres://app:secret@db/app"),
            url(""),
            sessions("batch_size = 0"),
            sessions("max_removal_percent = 101"),
            sessions("max_runtime = \"0s\""),
            sessions("where = { status = [] }"),
            sessions("where = { status = {} }"),
            sessions("where = { status = { null = true, not = \"a\" } }"),
            sessions("where = { status = { is = \"a\" } }"),
            sessions("where = { status = 1.5 }"),
            sessions("where = [\"status\"]"),
            SESSIONS.replace("activity_column = \"seen\"", "activity_column = []"),
            SESSIONS.replace("activity_column = \"seen\"", "activity_column = [\"seen\", 7]"),
            sessions("expires_column = \"ends\""),
            sessions("grace = \"1h\""),
            SESSIONS.replace("activity_column = \"seen\"", "expires_column = \"ends\""),
            SESSIONS.replace("activity_column = \"seen\"", "expires_column = \"\"").replace("max_idle", "grace"),
            sessions("lock_timeout = \"0s\""),
            sessions("activity_time_zone = \"+02:00\""),
            sessions("time_format = \"milisecond\""),
        ],
    );
}

#[test]
fn the_service_and_the_state() {
    shows(
        "the_service_and_the_state",
        [
            "[server]\nlisten = \"8000\"\n".to_owned(),
            "[server]\nlisten = \":8000\"\n".to_owned(),
            "[server]\nlisten = \"example.org:8000\"\n".to_owned(),
            "[server]\nlisten = \"/run/cleanup.sock\"\n".to_owned(),
            "[server]\nhosts = [\"https://example.org\"]\n".to_owned(),
            "[server]\ntoken_file = \"\"\n".to_owned(),
            "[server]\ntoken_for = \"reads\"\n".to_owned(),
            "[server.tokens]\nOps = \"ops\"\n".to_owned(),
            "[server.tokens]\nops = \"\"\n".to_owned(),
            "[server.tokens]\nops = 5\n".to_owned(),
            "[server]\ntokens = [\"ops\"]\n".to_owned(),
            "[server]\nmax_hold = \"0s\"\n".to_owned(),
            files("[server]\nstats_policy = \"tmep\""),
            files("[server]\nstats_policy = \"temp\""),
            "[server]\nstats_policy = \"temp\"\n".to_owned(),
            "[[files.temp]]\nroot = \"out\"\n[server]\nstats_policy = \"temp\"\n".to_owned(),
            "[state]\nurl = \"postgres://state:secret@db/state\"\n".to_owned(),
            "[state]\nurl = \"sqlite:///var/lib/cleanup/state.db\"\n".to_owned(),
            "[state]\nkeep_history = \"0s\"\n".to_owned(),
        ],
    );
}

#[test]
fn keys_that_need_each_other() {
    shows(
        "keys_that_need_each_other",
        [
            files("weight = 2.0\nquarantine_for = \"1d\""),
            "[files.a]\nroot = \"a\"\ninclude = [\"*\"]\nkeep_newest = 5\n".to_owned(),
            files("min_free = { low = \"10%\", high = \"5%\" }"),
            files("unit = \"directory\"\nskip_in_use = true\ntrack = true\nrecursive = true"),
            "[audit]\nkeep = 0\nmax_size = \"5\"\n".to_owned(),
            files("keep_referenced = { sessions = \"tuto\", query = \"select 1\" }") + SESSIONS,
        ],
    );
}

#[test]
fn policies_that_can_never_take_anything() {
    let policy = |name: &str, keys: &str| format!("[files.{name}]\nroot = \"out\"\nmax_age = \"1h\"\n{keys}\n");
    shows(
        "policies_that_can_never_take_anything",
        [
            policy("a", "include = [\"*.tmp\"]") + &policy("b", "include = [\"*\"]"),
            policy("a", "include = [\"*.a\", \"*.b\"]") + &policy("b", "include = [\"*.b\", \"*.a\"]\nenabled = false"),
            policy("a", "include = [\"a\"]") + &policy("b", "include = [\"b\"]\narchives = [\"a\"]\nrecursive = true"),
        ],
    );
}

#[test]
fn policies_on_one_root_that_leave_something_to_each_other() {
    let policy =
        |name: &str, root: &str, keys: &str| format!("[files.{name}]\nroot = \"{root}\"\nmax_age = \"1h\"\n{keys}\n");
    for (a, b) in [
        ("include = [\"*.tmp\"]", "include = [\"*\"]\nexclude = [\"*.tmp\"]"),
        ("include = [\"*\"]", "include = [\"*.tmp\"]\nrecursive = true"),
        ("include = [\".hidden*\", \"*.log\"]", "include = [\"*\"]\nexclude = [\"*.log\"]"),
        ("include = [\"[.]hidden\"]", "include = [\"*\"]\nexclude = [\"a\"]"),
        ("include = [\"*.a\"]", "include = [\"*.b\"]"),
        ("include = [\"*\"]\nunit = \"directory\"", "include = [\"*\"]"),
        ("include = [\"a\", \"b\"]", "include = [\"a\", \"c\"]"),
    ] {
        let text = policy("a", "out", a) + &policy("b", "./out", b);
        let loaded = Config::load(&Source { name: "cleanup.toml", text: &text, folder: Path::new("/srv/app") }, &env);
        assert!(loaded.is_ok(), "{text}{}", loaded.unwrap_err());
    }
}

#[test]
fn several_errors_at_once() {
    shows(
        "several_errors_at_once",
        [
            "# A file with many faults.\n\n[files.Temp]\nroot = \"/\"\ninclude = [\"*.svg\", \"[a\"]\nmax_agee = \"1h\"\nevery = 30\n\n\
         [sessions.tutor]\nurl = \"${DATABASE_URL}\"\ntable = \"t\"\nmax_idle = \"2 fortnights\"\n\n[server]\nlisten = \"8000\"\n",
        ],
    );
}

#[test]
fn notifications() {
    shows(
        "notifications",
        [
            "on = [\"faild\", \"held\"]",
            "on = [\"starting\"]",
            "on = [\"recovered\"]",
            "on = \"held\"",
            "webhook = \"hooks.example.org/secret\"",
            "webhook = \"ftp://hooks.example.org/secret\"",
            "webhook = \"https://user:secret@hooks.example.org/\"",
            "ping = \"https:///secret\"",
            "webhook = \"https://hooks.example.org/secret\"\nwebhook_file = \"url\"",
            "webhook = \"${WEBHOOK_URL}\"",
            "webhooks = \"https://hooks.example.org/secret\"",
            "headers = { \"X Y\" = \"secret\" }",
            "headers = { Host = \"secret\" }",
            "headers = { Authorization = \"sec\\nret\" }",
            "headers = \"Authorization: secret\"",
            "command = []",
            "command = [\"\"]",
            "command = \"tell-somebody\"",
            "command = [\"tell-somebody --now\"]",
            "after = [\"bin/purge\"]",
            "after = [\"purge\", \"\\u0000\"]",
            "after = [1]",
        ]
        .map(|line| format!("{FILES}[notify]\n{line}\n")),
    );
}

#[test]
fn no_error_shows_what_is_secret_in_notifications() {
    for line in [
        "webhook = \"ftp://h/hush\"",
        "ping = \"ftp://h/hush\"",
        "headers = { Authorization = \"hush\\n\" }",
        "headers = { Authorization = \"Bearer hush\" }\nwebhook = 1",
        "webhook = \"https://h/hush\"\n=",
        "web_hook = \"https://h/hush\"",
        "webhooks = \"https://h/hush\"",
        "headers = { Authorization = \"Bearer hush\" \n=",
        "[notify.headers]\nAuthorization = \"Bearer hush\"\n=",
        "[notify.headers]\nAuthorization = \"Bearer hush\\n\"",
    ] {
        let text = error(&format!("{FILES}[notify]\n{line}\n"));
        assert!(!text.contains("hush"), "{text}");
    }
}
