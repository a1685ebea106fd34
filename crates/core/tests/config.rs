//! What a configuration means, and that no text can break the loader.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanup_core::config::{Config, ConfigError, DEFAULT, Origin, Source, State, TokenFor};
use cleanup_core::policy::{
    Archives, CronExpression, Database, Depth, EmptyDirs, Pace, Partitions, Schedule, StampKind, TimeFormat,
};
use proptest::prelude::*;

const FILES: &str = "[files.a]\nroot = \"out\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n";
const SESSIONS: &str = "[sessions.s]\nurl = \"${DATABASE_URL}\"\ntable = \"t\"\nid_column = \"i\"\nactivity_column = \"a\"\nmax_idle = \"2h\"\n";

fn env(name: &str) -> Option<String> {
    match name {
        "OUT" => Some("storage".to_owned()),
        "AGE" => Some("90m".to_owned()),
        "OFF" => Some("false".to_owned()),
        "EMPTY" => Some(String::new()),
        "PASSWORD" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &env)
}

fn load_with(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    Config::load(&Source { name: "cleanup.toml", text, folder: Path::new("/srv/app") }, env)
}

#[track_caller]
fn good(text: &str) -> Config {
    match load(text) {
        Ok(config) => config,
        Err(error) => panic!("{text}\n{error}"),
    }
}

#[test]
fn the_built_in_default_loads_without_a_database() {
    let config = load_with(DEFAULT, &|_| None).unwrap();
    let names: Vec<&str> = config.rules().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["visualization-output", "temp-svgs", "temp-models", "tutor-sessions"]);
    assert_eq!(config.sessions[0].database, Database::Unset { variable: "DATABASE_URL".to_owned() });
    assert_eq!(config.files[0].root, Path::new("/srv/app/storage/output"));
    assert_eq!(config.files[0].rule.max_age.unwrap().get(), Duration::from_hours(24));
    assert_eq!(config.files[2].schedule, Some(Schedule::Every(Duration::from_mins(30))));
    assert!(config.files[2].track && !config.files[0].track);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.state, State::Default);
}

#[test]
fn the_built_in_default_loads_with_every_form_of_database_url() {
    for url in [
        "postgresql+psycopg2://app:secret@db/app",
        "postgres://app@db/app",
        "postgresql:///app?host=/run/postgresql",
        "sqlite:///relative.db",
        "sqlite:////absolute.db",
        "sqlite+aiosqlite:///relative.db",
    ] {
        let config = load_with(DEFAULT, &|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap();
        assert_eq!(config.sessions[0].database, Database::Url(url.to_owned()));
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = good(&format!("{FILES}{SESSIONS}"));
    let (file, session) = (&config.files[0], &config.sessions[0]);
    assert_eq!(file.rule.min_age, Duration::ZERO);
    assert_eq!(file.rule.archives, Archives::Keep);
    assert_eq!(file.stamp, StampKind::Modified);
    assert_eq!(file.depth, Depth::FLAT);
    assert_eq!(file.empty_dirs, EmptyDirs::Keep);
    assert_eq!(file.schedule, None);
    assert!(file.enabled && !file.track);
    assert_eq!(session.batch_size, 500);
    assert_eq!(session.lock_timeout, Duration::from_millis(200));
    assert_eq!(session.statement_timeout, None);
    assert_eq!(session.pace, Pace::Normal);
    assert_eq!(session.archive_table, None);
    assert!(session.enabled);
    assert_eq!(config.keep_history, Duration::from_hours(90 * 24));
    assert_eq!(config.time_zone, None);
    assert!(good("").files.is_empty());
}

#[test]
fn every_built_key_of_a_file_policy_has_its_effect() {
    let config = good(
        r#"
        time_zone = "Europe/Berlin"

        [files.full]
        root = "/srv/out"
        include = ["*.svg", "deep/**/*.svg"]
        exclude = ["keep*"]
        archives = ["formal_{timestamp}_{uuid}.svg"]
        include_archives = true
        max_age = "1h30m"
        min_age = "30s"
        stamp = "newest"
        age_clock = "wall"
        recursive = true
        max_depth = 3
        remove_empty_dirs = true
        unit = "file"
        dispose = "delete"
        skip_in_use = false
        honour_flock = false
        mode = "enforce"
        track = true
        cron = "0 3 * * sun"
        enabled = "${OFF}"
        "#,
    );
    let policy = &config.files[0];
    assert_eq!(policy.root, Path::new("/srv/out"));
    assert_eq!(policy.rule.archives, Archives::Judge);
    assert_eq!(policy.rule.max_age.unwrap().get(), Duration::from_mins(90));
    assert_eq!(policy.rule.min_age, Duration::from_secs(30));
    assert_eq!(policy.stamp, StampKind::Newest);
    assert_eq!(policy.depth, Depth(3));
    assert_eq!(policy.empty_dirs, EmptyDirs::Judge);
    assert_eq!(policy.schedule, Some(Schedule::Cron(CronExpression::parse("0 3 * * sun").unwrap())));
    assert!(policy.track && !policy.enabled);
    assert_eq!(config.time_zone.as_deref(), Some("Europe/Berlin"));
}

#[test]
fn every_built_key_of_a_session_policy_has_its_effect() {
    let config = good(
        r#"
        [sessions.full]
        url = "postgresql+asyncpg://app:${PASSWORD}@db/app"
        table = "app.tutor_sessions"
        id_column = "session_id"
        activity_column = "last_activity"
        activity_time_zone = "UTC"
        time_format = "milliseconds"
        max_idle = "2h"
        batch_size = 20000
        lock_timeout = "50ms"
        statement_timeout = "2s"
        pace = "off-hours"
        archive_table = "old_sessions"
        mode = "enforce"
        every = "1h"
        enabled = "${ENABLED:-true}"
        "#,
    );
    let policy = &config.sessions[0];
    assert_eq!(policy.database, Database::Url("postgresql+asyncpg://app:hunter2@db/app".to_owned()));
    assert_eq!(policy.table, "app.tutor_sessions");
    assert_eq!((policy.id_column.as_str(), policy.stamp.columns()), ("session_id", &["last_activity".to_owned()][..]));
    assert_eq!(policy.activity_time_zone.as_deref(), Some("UTC"));
    assert_eq!(policy.time_format, Some(TimeFormat::Milliseconds));
    assert_eq!(policy.rule.max_age.unwrap().get(), Duration::from_hours(2));
    assert_eq!(policy.batch_size, 20_000);
    assert_eq!(policy.lock_timeout, Duration::from_millis(50));
    assert_eq!(policy.statement_timeout, Some(Duration::from_secs(2)));
    assert_eq!(policy.pace, Pace::OffHours);
    assert_eq!(policy.archive_table.as_deref(), Some("old_sessions"));
    assert!(policy.enabled);
}

#[test]
fn every_time_format_is_read_as_it_is_written() {
    for format in ["timestamp", "seconds", "milliseconds", "microseconds", "julian", "iso8601"] {
        let config = good(&format!(
            "[sessions.s]\nurl = \"sqlite:///app.db\"\ntable = \"t\"\nid_column = \"id\"\nactivity_column = \"at\"\n\
             max_idle = \"2h\"\ntime_format = \"{format}\"\n"
        ));
        assert_eq!(config.sessions[0].time_format.map(TimeFormat::key), Some(format));
    }
}

#[test]
fn the_service_and_the_state_are_read() {
    let config = good(&format!(
        "{FILES}track = true\n[state]\nurl = \"sqlite:var/state.db\"\nkeep_history = \"30d\"\n[server]\nlisten = \"[::1]:9000\"\n\
         socket = \"/run/cleanup.sock\"\nhosts = [\"Cleanup.example.org\"]\ntoken_file = \"token\"\nstats_policy = \"a\"\n"
    ));
    assert_eq!(config.state, State::Sqlite("/srv/app/var/state.db".into()));
    assert_eq!(config.keep_history, Duration::from_hours(30 * 24));
    assert_eq!(config.server.listen.to_string(), "[::1]:9000");
    assert_eq!(config.server.socket, Some(PathBuf::from("/run/cleanup.sock")));
    assert_eq!(config.server.hosts, ["cleanup.example.org"]);
    assert_eq!(config.server.token_file, Some(PathBuf::from("/srv/app/token")));
    assert_eq!(config.server.stats_policy.as_deref(), Some("a"));
    for (url, state) in [
        ("none", State::None),
        ("sqlite:/var/lib/cleanup/state.db", State::Sqlite("/var/lib/cleanup/state.db".into())),
        ("sqlite:////var/lib/cleanup/state.db", State::Sqlite("/var/lib/cleanup/state.db".into())),
    ] {
        assert_eq!(good(&format!("[state]\nurl = \"{url}\"\n")).state, state, "{url}");
    }
    assert_eq!(good("[server]\nlisten = \"localhost:81\"").server.listen.to_string(), "127.0.0.1:81");
    let days = |days: u64| Duration::from_hours(24 * days);
    let server = good("[server]\ntoken_for = \"everything\"\nmax_hold = \"7d\"").server;
    assert_eq!((server.token_for, server.max_hold), (TokenFor::Everything, days(7)));
    for text in ["", "[server]\ntoken_file = \"token\"", "[server]\ntoken_for = \"changes\""] {
        let config = good(text);
        assert_eq!((config.server.token_for, config.server.max_hold), (TokenFor::Changes, days(90)), "{text}");
        assert_eq!(config.sets("server.token_for"), text.contains("token_for"), "{text}");
    }
}

#[test]
fn policies_keep_the_order_of_the_file() {
    let policy =
        |name| FILES.replace("files.a", &format!("files.{name}")).replace("root = \"", &format!("root = \"{name}/"));
    let config = good(&["z", "m", "a"].map(policy).concat());
    let names: Vec<&str> = config.rules().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["z", "m", "a"]);
}

#[test]
fn variables_may_stand_in_every_string() {
    let config = good(
        "[files.a]\nroot = \"${OUT}/${DIR:-tmp}\"\ninclude = [\"${GLOB:-*.svg}\"]\nmax_age = \"${AGE}\"\nstamp = \"${STAMP:-ctime}\"\n",
    );
    assert_eq!(config.files[0].root, Path::new("/srv/app/storage/tmp"));
    assert_eq!(config.files[0].rule.max_age.unwrap().get(), Duration::from_mins(90));
    assert_eq!(config.files[0].stamp, StampKind::Changed);
}

#[test]
fn a_url_whose_variable_is_unset_or_empty_means_no_database() {
    for (url, variable) in
        [("${MISSING}", "MISSING"), ("${EMPTY}", "EMPTY"), ("postgres://app:${MISSING}@db/app", "MISSING")]
    {
        let config = good(&SESSIONS.replace("${DATABASE_URL}", url));
        assert_eq!(config.sessions[0].database, Database::Unset { variable: variable.to_owned() }, "{url}");
    }
}

#[test]
fn a_root_is_absolute_and_never_the_file_system() {
    for (root, expected) in [
        ("out", "/srv/app/out"),
        ("./out/", "/srv/app/out"),
        ("../out", "/srv/app/../out"),
        ("/srv//out", "/srv/out"),
        ("a/../../..//../x", "/srv/app/a/../../../../x"),
    ] {
        let config = good(&FILES.replace("\"out\"", &format!("\"{root}\"")));
        assert_eq!(config.files[0].root, Path::new(expected), "{root}");
    }
    for root in ["/", "//", "/.", "/..", "/./..//.", "/x/..", "../..", "../../..", "out/../../../"] {
        let error = load(&FILES.replace("\"out\"", &format!("\"{root}\""))).unwrap_err();
        assert_eq!(error.diagnostics()[0].title(), "a root cannot be `/`", "{root}");
    }
}

#[test]
fn every_setting_says_where_it_came_from() {
    let text = format!("{FILES}stamp = \"${{STAMP:-ctime}}\"\n{SESSIONS}");
    let url = "postgresql://app:hunter2@db/app?sslpassword=hunter2";
    let config = load_with(&text, &|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap();
    let shown: Vec<String> =
        config.settings.iter().map(|one| format!("{} = {}  # {}", one.key, one.value, one.origin)).collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert!(
        config
            .settings
            .iter()
            .any(|one| matches!(&one.origin, Origin::Variables { line: 7, names } if names == &["DATABASE_URL"]))
    );
}

#[test]
fn the_shown_defaults_are_the_real_ones() {
    let text = format!("{FILES}{SESSIONS}");
    let plain = good(&text);
    let (mut files, mut sessions, mut rest) = (FILES.to_owned(), SESSIONS.to_owned(), String::new());
    for setting in plain.settings.iter().filter(|setting| setting.origin == Origin::Default) {
        let (table, key) = setting.key.rsplit_once('.').unwrap();
        let line = format!("{key} = {}\n", setting.value);
        match table {
            "files.a" => files.push_str(&line),
            "sessions.s" => sessions.push_str(&line),
            // The defaults of one table stand together.
            table if rest.contains(&format!("[{table}]\n")) => rest.push_str(&line),
            table => rest.extend(["[", table, "]\n", &line]),
        }
    }
    let spelled_out = good(&format!("{files}{sessions}{rest}"));
    let meaning = |config: &Config| {
        format!("{:?}{:?}{:?}{:?}{:?}", config.files, config.sessions, config.server, config.state, config.keep_history)
    };
    assert_eq!(meaning(&spelled_out), meaning(&plain));
    assert!(spelled_out.settings.iter().all(|setting| setting.origin != Origin::Default));
}

#[test]
fn no_error_shows_a_password() {
    let bad = [
        "[sessions.s]\nurl = \"mysql://app:hunter2@db/app\"\n",
        "[sessions.s]\nurl = 'app:hunter2@db'\n",
        "[sessions.s]\nurl = \"postgres://app:hunter2@db/app\n",
        "[sessions.s]\nurl = \"\"\"\npostgres://app:hunter2@db/app\"\"\"\nurls = 1\n",
        "[sessions.s]\nurl = 5 # postgres://app:hunter2@db/app\n",
        "[sessions.s]\nurll = \"postgres://app:hunter2@db/app\"\n",
        "[sessions.s]\nurl = [\"host=db password=hunter2\"]\n",
        "[sessions.s]\nurl = \"${X:-host=db password=hunter2}\"\n",
        "[sessions.s]\npace = \"${PASSWORD}\"\n",
        "[sessions.s]\nmax_idle = \"${PASSWORD}\"\n",
        "[sessions.s]\ncron = \"${PASSWORD}\"\n",
        "[sessions]\ns = { url = \"host=db password=hunter2\", urls = 1 }\n",
        "[sessions.s]\n\"url\" = \"host=db password=hunter2\" x\n",
        "sessions.s.url = \"host=db password=hunter2\" x\n",
        "sessions = { s = { url = \"host=db password=hunter2\" x } }\n",
        "[sessions.s]\nurl = \"mysql:\\u002f/app:hunter2@db\"\n",
        "[sessions.s]\nurl = \"hunter2://x\"\n",
    ];
    for text in bad {
        let error = load(text).unwrap_err();
        for shown in [error.to_string(), error.render(true), format!("{error:?}")] {
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_loader(text in "\\PC*") {
        if let Err(error) = load(&text) {
            prop_assert!(!error.render(true).is_empty());
        }
    }

    #[test]
    fn no_value_breaks_the_loader(
        key in "root|include|max_age|min_free|cron|every|stamp|enabled|max_depth|url|table|listen|min_age|weight",
        value in "\"[^\"\\\\\\x00-\\x1f]*\"|[0-9]{1,25}|-?[0-9]{1,3}\\.[0-9]|true|inf|\\[[0-9, ]*\\]|\\{ ?(low|x) = \"[0-9]%\" ?\\}|1979-05-27|\\[\"[\\[\\]{}*/.$a]*\"\\]",
        table in "files.a|files|sessions.a|sessions|server|state|files.\"[^\"\\\\\\x00-\\x1f]*\"",
    ) {
        let text = format!("[{table}]\n{key} = {value}\n");
        if let Err(error) = load(&text) {
            prop_assert!(!error.diagnostics().is_empty(), "{}", text);
            prop_assert!(!error.render(false).is_empty());
        }
    }

    #[test]
    fn no_damage_to_a_good_file_breaks_the_loader(at in 0..DEFAULT.len(), len in 0..40_usize, insert in "[\\[\\]{}\"'=.$\\n a-z0-9\u{fc}]{0,6}") {
        let start = DEFAULT.floor_char_boundary(at);
        let end = DEFAULT.ceil_char_boundary((at + len).min(DEFAULT.len()));
        let text = format!("{}{insert}{}", &DEFAULT[..start], &DEFAULT[end..]);
        if let Err(error) = load(&text) {
            prop_assert!(!error.diagnostics().is_empty(), "{}", text);
            prop_assert!(!error.render(true).is_empty());
        }
    }
}

#[test]
fn every_example_of_the_documentation_loads() {
    let docs = include_str!("../../../docs/configuration.md");
    let fenced = docs.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = fenced.filter_map(|fence| Some(fence.split_once('\n')?.1)).collect();
    assert!(examples.len() > 5);
    for example in examples {
        good(example);
    }
}

#[test]
fn depth_and_size_break_nothing() {
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}{}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("[{}]\ny = 1", vec!["x"; 20_000].join(".")),
        format!("{} = 1", vec!["x"; 20_000].join(".")),
        format!("x = {}1{}", "{a=".repeat(5_000), "}".repeat(5_000)),
        (0..2_000).map(|at| format!("key{at} = 1")).collect::<Vec<_>>().join("\n"),
    ] {
        let error = load(&text).unwrap_err();
        assert!(!error.render(false).is_empty());
    }
}

#[test]
fn partitions_are_dropped_only_where_there_can_be_any_and_nothing_is_archived() {
    let load = |url: &str, more: &str| {
        let text = format!(
            "[sessions.s]\nurl = \"{url}\"\ntable = \"t\"\nid_column = \"i\"\nactivity_column = \"a\"\nmax_idle = \"1h\"\n{more}\n"
        );
        let source = Source { name: "cleanup.toml", text: &text, folder: Path::new("/") };
        Config::load(&source, &|_| None).map(|config| config.sessions[0].partitions).map_err(|error| error.to_string())
    };
    let (drop, postgres) = ("partitions = \"drop\"", "postgresql://h/d");
    assert_eq!(load(postgres, ""), Ok(Partitions::Delete));
    assert_eq!(load(postgres, "partitions = \"delete\""), Ok(Partitions::Delete));
    assert_eq!(load(postgres, drop), Ok(Partitions::Drop));
    let error = load(postgres, &format!("{drop}\narchive_table = \"old\"")).unwrap_err();
    assert!(error.contains("not archived"), "{error}");
    let error = load("sqlite:////s", drop).unwrap_err();
    assert!(error.contains("SQLite has no partitions"), "{error}");
}

#[cfg(feature = "conformance")]
#[allow(clippy::disallowed_methods, reason = "the test measures time and reads its corpus")]
mod damage {
    use std::time::{Duration, Instant};

    use cleanup_core::damage::{Blow, damaged};

    use super::*;

    const GOOD: [&str; 3] = [
        DEFAULT,
        include_str!("../../../deploy/cleanup.toml"),
        "[files.a]\nroot = '${OUT:-x}/{a,b}'\ninclude = ['{a,b{c,d}}*.[!x]?', '**/x/**']\nmax_age = '1d 12h'\nmin_free = { low = '5%', high = '10GB' }\ncron = '*/5 1-3 * * mon'\nlimits = 1\n",
    ];

    /// Far more than it takes, and far less than anybody waits.
    const SOON: Duration = Duration::from_secs(10);

    fn breaks_nothing(bytes: &[u8]) -> Result<(), TestCaseError> {
        let text = String::from_utf8_lossy(bytes);
        let begun = Instant::now();
        let loaded = load(&text);
        prop_assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        let Err(error) = loaded else { return Ok(()) };
        prop_assert!(!error.diagnostics().is_empty());
        let lines = text.lines().count() + 1;
        for diagnostic in error.diagnostics() {
            prop_assert!((1..=lines).contains(&error.line(diagnostic)), "{:?}", diagnostic);
        }
        let shown = error.render(false);
        prop_assert!(shown.contains("cleanup.toml:"), "names file and line: {}", shown);
        prop_assert!(!error.render(true).is_empty());
        Ok(())
    }

    proptest! {
        #[test]
        fn no_damage_to_any_file_breaks_the_loader(
            which in 0..GOOD.len(),
            blows in prop::collection::vec(any::<Blow>(), 1..5),
        ) {
            breaks_nothing(&damaged(GOOD[which].as_bytes(), &blows))?;
        }

        #[test]
        fn no_bytes_break_the_loader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            breaks_nothing(&bytes)?;
            breaks_nothing(&[FILES.as_bytes(), &bytes].concat())?;
        }
    }

    #[test]
    fn what_was_found_once_is_not_found_again() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/config");
        for entry in std::fs::read_dir(corpus).unwrap() {
            breaks_nothing(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        }
    }
}

#[test]
fn tokens_have_names_and_files_in_the_order_of_the_configuration() {
    let text = "[server]\nmetrics_token_file = \"m\"\n[server.tokens]\nops = \"secret/ops\"\na-1_b = \"/run/a\"\n";
    let config = good(text);
    let tokens: Vec<_> = config.server.tokens.iter().map(|token| (token.name.as_str(), token.file.as_path())).collect();
    assert_eq!(tokens, [("ops", Path::new("/srv/app/secret/ops")), ("a-1_b", Path::new("/run/a"))]);
    let files: Vec<_> = config.server.token_files().collect();
    assert_eq!(files, ["/srv/app/secret/ops", "/run/a", "/srv/app/m"].map(Path::new));
    let shown: Vec<_> = config.settings.iter().filter(|setting| setting.key.starts_with("server.tokens")).collect();
    assert_eq!(shown.len(), 2, "they have no defaults: {shown:?}");
    assert!(good("[server]").server.token_files().next().is_none());
}
