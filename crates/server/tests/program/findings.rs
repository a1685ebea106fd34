//! What the engine knows, every face says: one walk over all codes of findings, through the log, `/readyz`, the metrics,
//! the dashboard and the history.
//!
//! The codes come from the schema of their type, and how each arises from a match without a rest: a new code does not
//! pass until somebody has said how it comes about.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cleanup_core::report::FindingCode;
use rustix::process::Signal;
use serde_json::Value;

use crate::world::{Server, World, wait_until};

/// How a finding comes about here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// A run of this policy finds it, or of all.
    Run(&'static str),
    /// The service itself finds it, of this policy or of all.
    Service(&'static str),
    /// In a test of its own below.
    Apart,
    /// Only for a moment, at the start and the end: `/readyz` is the one face that is asked then, in the tests of HTTP.
    Passing,
}

fn how(code: FindingCode) -> How {
    match code {
        FindingCode::Memory
        | FindingCode::PromisesLost
        | FindingCode::PromisesDamaged
        | FindingCode::Interrupted
        | FindingCode::Notify => How::Apart,
        FindingCode::Audit => How::Run(""),
        FindingCode::RootMissing => How::Service("missing"),
        FindingCode::DatabaseAway => How::Run("away"),
        FindingCode::Held => How::Run("braked"),
        FindingCode::Failed => How::Run("failed"),
        FindingCode::Errors => How::Run("errors"),
        FindingCode::RefusedRows => How::Run("rows"),
        FindingCode::LimitUnmet => How::Run("full"),
        FindingCode::Disputed => How::Run("one"),
        FindingCode::Busy => How::Run("locked"),
        FindingCode::ReloadRefused | FindingCode::Token => How::Service(""),
        FindingCode::Watching => How::Service("watched"),
        FindingCode::Starting | FindingCode::Stopping => How::Passing,
    }
}

/// All codes, as the schema of the type has them.
fn codes() -> Vec<FindingCode> {
    let schema = serde_json::to_value(schemars::schema_for!(FindingCode)).unwrap();
    let names: Vec<Value> = match (&schema["enum"], &schema["oneOf"]) {
        (Value::Array(names), _) => names.clone(),
        (_, Value::Array(one_of)) => one_of.iter().map(|one| one["const"].clone()).collect(),
        _ => panic!("{schema}"),
    };
    names.into_iter().map(|name| serde_json::from_value(name).unwrap()).collect()
}

const ROOTS: [&str; 9] = ["braked", "full", "errors", "both", "locked", "watched", "gone", "svgs", "temp_models"];

const CONFIG: &str = r#"
[audit]
file = "no-such-folder/audit.jsonl"
[server]
listen = "127.0.0.1:0"
token_file = "token"
[files.missing]
root = "missing"
include = ["*"]
max_age = "1h"
[files.braked]
root = "braked"
include = ["*"]
max_age = "1h"
max_removal_percent = 50
[files.full]
root = "full"
include = ["*"]
min_age = "1h"
max_total_size = "1KB"
[files.errors]
root = "errors"
include = ["*"]
max_age = "1h"
[files.one]
root = "both"
include = ["*.a", "*.b"]
max_age = "1h"
[files.two]
root = "both"
include = ["*.b", "*.c"]
max_age = "1h"
[files.locked]
root = "locked"
include = ["*"]
max_age = "1h"
honour_flock = true
[files.failed]
root = "failed"
include = ["*"]
max_age = "1h"
[files.gone]
root = "gone"
include = ["*"]
max_age = "1h"
[files.watched]
root = "watched"
include = ["*"]
max_age = "1h"
track = true
[sessions.away]
url = "postgresql://user@127.0.0.1:1/x"
table = "t"
id_column = "i"
activity_column = "a"
max_idle = "1h"
[sessions.rows]
url = "sqlite:rows.db"
table = "sessions"
id_column = "id"
activity_column = "seen"
max_idle = "1h"
"#;

fn old(path: &Path) {
    fs::write(path, "x").unwrap();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_hours(72));
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

/// One due row that the table's own trigger does not let go.
fn rows(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let made = "create table sessions (id text primary key, seen integer not null);
                    create trigger stays before delete on sessions begin select raise(abort, 'it stays'); end;
                    insert into sessions values ('a', unixepoch() - 86400);";
        connection.execute(made).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// Root may do everything: then the service runs as somebody who may not.
fn command(world: &World) -> Command {
    const NOBODY: u32 = 65_534;
    let mut command = world.command();
    if rustix::process::geteuid().is_root() {
        let copy = world.path("cleanup-server");
        // Not by ourselves: a test that forks while we write would inherit the descriptor, and "text file busy" follow.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_cleanup-server")).arg(&copy).status().unwrap();
        assert!(copied.success());
        let everything = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        for path in everything.chain([world.folder.path().to_owned()]) {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command = Command::new(copy);
        command.arg("--config").arg(world.path("cleanup.toml")).env_remove("NOTIFY_SOCKET").env_remove("CLEANUP_LOG");
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// As a page shows it.
fn escaped(text: &str) -> String {
    let entity = |letter: char| match letter {
        '&' | '<' | '>' | '"' | '\'' => format!("&#{};", u32::from(letter)),
        other => other.to_string(),
    };
    text.chars().map(entity).collect()
}

/// Whether a page says it: with a capital at its beginning, and with moments as the page's zone has them.
fn is_on_page(page: &str, text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let is_moment = |word: &&str| word.trim_end_matches([',', ';', '.', ')']).parse::<jiff::Timestamp>().is_ok();
    let mut pieces = words.split(is_moment).map(|piece| piece.join(" "));
    let first = pieces.next().unwrap_or_default();
    let mut letters = first.chars();
    let capital = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let begins = page.contains(&escaped(&first)) || page.contains(&escaped(&format!("{capital}{}", letters.as_str())));
    begins && pieces.all(|piece| page.contains(&escaped(&piece)))
}

/// Everything that needs somebody, as `/readyz` has it.
fn ready(server: &Server) -> Vec<Value> {
    let (_, ready) = server.call("GET", "/readyz", "");
    let of = |key: &str| ready[key].as_array().cloned().unwrap_or_default();
    of("reasons").into_iter().chain(of("warnings")).collect()
}

fn find(findings: &[Value], code: FindingCode, policy: &str) -> Option<Value> {
    let is_it = |it: &&Value| it["code"] == code.name() && it["policy"].as_str().unwrap_or_default() == policy;
    findings.iter().find(is_it).cloned()
}

/// Demands that all faces but the history say it, in the same words.
#[track_caller]
fn is_on_all_faces(server: &Server, code: FindingCode, policy: &str) -> String {
    let found = find(&ready(server), code, policy);
    let found = found.unwrap_or_else(|| panic!("no {code:?} of {policy:?} in /readyz: {:#?}", ready(server)));
    let text = found["text"].as_str().unwrap();
    let series = format!("\ncleanup_finding{{code=\"{}\",policy=\"{policy}\"}} 1\n", code.name());
    let metrics = server.call_text("GET", "/metrics", "").1;
    assert!(metrics.contains(&series), "no {series} in {metrics}");
    let is_shown = || is_on_page(&server.call_text("GET", "/", "").1, text);
    // The page is made anew once a second at most.
    wait_until(is_shown, &format!("{text} on the page"));
    let mark = format!("code=\"{}\"", code.name());
    let is_told = |line: &str| line.contains(&mark) && line.contains(policy);
    wait_until(|| server.log().lines().any(is_told), &format!("{mark} of {policy:?} in the log"));
    // The log of a reload says more than all other faces do.
    assert!(code == FindingCode::ReloadRefused || server.log().contains(text), "no {text} in {}", server.log());
    assert!(found["since"].is_string() && found["level"].is_string(), "{found}");
    text.to_owned()
}

#[test]
fn what_runs_and_the_service_find_is_on_all_faces_in_the_same_words() {
    let world = World::new();
    for root in ROOTS {
        fs::create_dir_all(world.path(root)).unwrap();
    }
    for number in 0..120 {
        old(&world.path(&format!("braked/{number}")));
    }
    fs::write(world.path("full/new"), vec![0; 64 * 1024]).unwrap();
    for path in ["errors/a", "both/x.b", "gone/a", "locked/a"] {
        old(&world.path(path));
    }
    fs::write(world.path("failed"), "no folder").unwrap();
    rows(&world.path("rows.db"));
    world.write("token", "correct-horse-battery-staple");
    fs::set_permissions(world.path("token"), Permissions::from_mode(0o644)).unwrap();
    let scheduled =
        CONFIG.replace("include = ", "every = \"2s\"\ninclude = ").replace("max_idle", "every = \"2s\"\nmax_idle");
    world.write("cleanup.toml", &scheduled);
    let command = command(&world);
    fs::set_permissions(world.path("errors"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(world.path("watched"), Permissions::from_mode(0o000)).unwrap();
    let lock = fs::File::open(world.path("locked")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let server = world.serve_by(command);
    fs::write(world.path("cleanup.toml"), "").unwrap();
    server.reload("stays as it was");

    for code in codes() {
        let (How::Run(policy) | How::Service(policy)) = how(code) else { continue };
        wait_until(|| find(&ready(&server), code, policy).is_some(), &format!("{code:?} of {policy:?}"));
        let text = is_on_all_faces(&server, code, policy);
        if matches!(how(code), How::Run(_)) || code == FindingCode::ReloadRefused {
            let (_, past) = server.call("GET", "/api/v1/runs?limit=200", "");
            let runs = past["runs"].as_array().unwrap();
            let findings: Vec<Value> =
                runs.iter().filter_map(|run| run["findings"].as_array().cloned()).flatten().collect();
            let found = find(&findings, code, policy).unwrap_or_else(|| panic!("no {code:?} in {past}"));
            let same = findings.iter().any(|it| it["code"] == found["code"] && it["text"] == *text);
            assert!(same, "other words in the history: {text} {findings:#?}");
        }
    }
    fs::set_permissions(world.path("watched"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_memory_that_is_none_is_on_all_faces() {
    let world = World::new();
    world.configure("max_age = \"30m\"", "[state]\nurl = \"sqlite:memory/state.db\"\n");
    world.write("memory", "no folder");
    world.model("a.step", Duration::from_hours(2));
    let server = world.serve();
    assert_eq!(server.call("POST", "/cleanup/manual", "").0, 200);
    is_on_all_faces(&server, FindingCode::Memory, "");
    assert_eq!(server.call("GET", "/readyz", "").0, 503);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn promises_that_are_gone_or_damaged_are_on_all_faces() {
    for code in [FindingCode::PromisesLost, FindingCode::PromisesDamaged] {
        let world = World::new();
        world.model("kept.step", Duration::ZERO);
        let server = world.serve();
        wait_until(|| server.tracked() == 1, "tracked");
        assert_eq!(server.register("kept.step", "1h").0, 201);
        let promises = world.path(".cleanup/promises.jsonl");
        match code {
            FindingCode::PromisesLost => fs::remove_file(promises).unwrap(),
            _ => fs::write(promises, "nonsense\nmore of it\n").unwrap(),
        }
        wait_until(
            || {
                server.call("POST", "/cleanup/manual", "");
                find(&ready(&server), code, "").is_some()
            },
            "it is found",
        );
        is_on_all_faces(&server, code, "");
        assert_eq!(server.call("GET", "/readyz", "").0, 503);
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_run_that_was_killed_is_on_all_faces_until_another_has_ended() {
    const FILES: usize = 20_000;
    let world = World::new();
    fs::create_dir(world.path("svgs")).unwrap();
    world.configure("max_age = \"30m\"", "[files.svgs]\nroot = \"svgs\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\n");
    for number in 0..FILES {
        old(&world.path(&format!("svgs/{number}.svg")));
    }
    let left = || fs::read_dir(world.path("svgs")).unwrap().count();
    let server = world.serve();
    assert_eq!(server.call("POST", "/api/v1/sweeps", r#"{"policies":["svgs"]}"#).0, 202);
    wait_until(|| left() < FILES, "it removes");
    server.signal(Signal::KILL);
    drop(server);
    assert!(left() > 0, "it was killed under way");

    let server = world.serve();
    let text = is_on_all_faces(&server, FindingCode::Interrupted, "svgs");
    let (_, past) = server.call("GET", "/api/v1/runs?status=interrupted", "");
    let run_id = past["runs"][0]["run_id"].as_str().unwrap();
    assert!(text.contains(run_id), "{text} {past}");
    // What it removed until a tenth of a second before is known all the same.
    let (_, removals) = server.call("GET", &format!("/api/v1/removals?run={run_id}&limit=1000"), "");
    let paths = removals["removals"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap());
    assert!(paths.into_iter().all(|path| !std::path::Path::new(path).exists()), "{removals}");
    server.signal(Signal::KILL);
}

#[test]
fn no_code_is_without_a_way_to_arise() {
    for code in codes() {
        let name = serde_json::to_value(code).unwrap();
        assert_eq!(name, code.name());
        // Does not compile without an answer for each.
        let _ = how(code);
    }
    assert!(codes().len() >= 19);
}

#[test]
fn what_the_last_runs_found_is_known_after_a_restart() {
    let world = World::new();
    fs::create_dir(world.path("svgs")).unwrap();
    for number in 0..120 {
        old(&world.path(&format!("svgs/{number}.svg")));
    }
    world.configure(
        "max_age = \"30m\"",
        "[files.svgs]\nroot = \"svgs\"\ninclude = [\"*.svg\"]\nmax_age = \"1h\"\nmax_removal_percent = 50\n",
    );
    let server = world.serve();
    assert_eq!(server.call("POST", "/api/v1/sweeps?wait=true", r#"{"policies":["svgs"]}"#).0, 200);
    let before = find(&ready(&server), FindingCode::Held, "svgs").unwrap();
    assert_eq!(server.stop(), Some(0));
    let server = world.serve();
    assert_eq!(find(&ready(&server), FindingCode::Held, "svgs"), Some(before), "with its own since");
    assert_eq!(server.stop(), Some(0));
}
