//! Who is told of findings: over HTTP by a real server, which answers as badly as it can, and by programs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use cleanup_test_webhook::{Answer, Request, Webhook};
use serde_json::Value;

use crate::certificates::certificates;
use crate::world::{HOUR, World};

/// Far more than the ten seconds that a run may take for its messages, and far less than for ever.
const WITHIN: Duration = Duration::from_secs(100);

/// One policy, and this table.
fn world(notify: &str) -> World {
    World::with_policy(&format!("[notify]\n{notify}"))
}

fn hook() -> Webhook {
    Webhook::start(Answer::Status(200)).unwrap()
}

fn told(webhook: &Webhook) -> Vec<(String, String)> {
    let of = |request: &Request| {
        let message: Value = serde_json::from_slice(&request.body).unwrap();
        let word = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        (word("event"), word("code"))
    };
    webhook.take().iter().map(of).collect()
}

fn event(event: &str, code: &str) -> (String, String) {
    (event.to_owned(), code.to_owned())
}

fn script(world: &World, name: &str, text: &str) -> String {
    world.write(name, &format!("#!/bin/sh\n{text}\n"));
    let path = world.path(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_broken_policy_calls_a_webhook_once_and_once_more_when_it_has_recovered() {
    let webhook = hook();
    let url = webhook.url("/secret?and=more");
    let world = world(&format!("webhook = \"{url}\"\nheaders = {{ Authorization = \"Bearer hush\" }}\n"));
    world.run("").is_fine();
    assert!(webhook.requests().is_empty(), "nothing is wrong");

    fs::remove_dir(world.path("out")).unwrap();
    let run: Value = serde_json::from_str(&world.run("--json").out).unwrap();
    let [request] = webhook.take().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/secret?and=more"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Bearer hush");
    let (message, finding): (Value, _) = (serde_json::from_slice(&request.body).unwrap(), &run["findings"][0]);
    assert_eq!((&message["event"], &message["code"]), (&"finding".into(), &"root_missing".into()));
    assert_eq!(message["run_id"], run["run_id"]);
    for (key, own) in [("level", "level"), ("policy", "policy"), ("since", "since"), ("message", "text")] {
        let [told, found] = [&message[key], &finding[own]].map(|it| it.as_str().unwrap().to_owned());
        assert_eq!(told.replace(world.path("").to_str().unwrap(), "[folder]/"), found, "{key}");
    }
    let host = message["host"].as_str().unwrap();
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("cleanup on {host}: out: ")) && text.contains("mkdir -p"), "{text}");

    world.run("").exits(0);
    world.run("sweep out").exits(0);
    assert_eq!(told(&webhook), [], "it was told");
    fs::create_dir(world.path("out")).unwrap();
    world.run("--dry-run").exits(0);
    assert_eq!(told(&webhook), [], "a dry run tells nothing");
    world.run("").is_fine();
    assert_eq!(told(&webhook), [event("recovered", "root_missing")]);
    world.run("").is_fine();
    assert_eq!(told(&webhook), []);
}

#[test]
fn whatever_a_webhook_answers_the_run_is_the_same_and_the_message_waits() {
    let (webhook, elsewhere) = (hook(), hook());
    let world = world(&format!("webhook = \"{}\"", webhook.url("/secret")));
    fs::remove_dir(world.path("out")).unwrap();
    let quiet = world.run("--dry-run");
    for (answer, said) in [
        (Answer::Status(500), "answered 500"),
        (Answer::Status(404), "answered 404"),
        (Answer::Redirect(elsewhere.url("/secret")), "a redirect to http://127.0.0.1"),
        (Answer::Redirect("/there".to_owned()), "redirects are not followed"),
        (Answer::Garbage, "127.0.0.1"),
        (Answer::Close, "127.0.0.1"),
        (Answer::EndlessHead, "127.0.0.1"),
        (Answer::Never, "no answer in time"),
    ] {
        webhook.answer(answer.clone());
        let ran = world.run_within("", WITHIN);
        assert_eq!(ran.code, quiet.code, "{answer:?}: {ran}");
        assert!(
            ran.err.contains("warning: a message was not delivered") && ran.err.contains(said),
            "{answer:?}: {ran}"
        );
        assert!(!ran.err.contains("secret"), "{ran}");
        assert_eq!(webhook.take().len(), 1, "{answer:?}: one attempt a run");
    }
    assert!(elsewhere.requests().is_empty(), "nobody is sent elsewhere");
    // The status says that it has arrived; what follows it is nobody's business.
    webhook.answer(Answer::EndlessBody);
    let ran = world.run_within("", WITHIN);
    assert!(!ran.err.contains("not delivered"), "{ran}");
    assert_eq!(told(&webhook), [event("finding", "root_missing")]);
    world.run("").exits(0);
    assert_eq!(told(&webhook), []);
}

#[test]
fn a_host_that_is_not_there_delays_nothing_and_is_named() {
    let url = hook().url("/secret");
    let world = world(&format!("webhook = \"{url}\"\nping = \"{url}\""));
    fs::remove_dir(world.path("out")).unwrap();
    let ran = world.run_within("", WITHIN);
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("not delivered, and will be tried again: http://127.0.0.1:"), "{ran}");
    assert!(!ran.err.contains("secret"), "{ran}");
}

#[test]
fn a_command_gets_the_message_and_cannot_stop_a_run() {
    let world = World::with_policy("");
    let program = script(&world, "tell", "cat >> told; echo \"$CLEANUP_EVENT $CLEANUP_CODE $1\" >> told");
    world.write(
        "tell",
        &fs::read_to_string(world.path("tell")).unwrap().replace("told", world.path("told").to_str().unwrap()),
    );
    let configure = |command: &str| {
        let policy = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n";
        world.write("cleanup.toml", &format!("{policy}[notify]\ncommand = {command}\n"));
    };
    fs::remove_dir(world.path("out")).unwrap();
    configure("[\"/bin/sh\", \"-c\", \"exit 3\"]");
    let ran = world.run("");
    assert!(ran.code == 0 && ran.err.contains("/bin/sh ended with exit code 3"), "{ran}");
    configure("[\"no-such-program-at-all\"]");
    let ran = world.run("");
    assert!(ran.code == 0 && ran.err.contains("no-such-program-at-all cannot be started"), "{ran}");
    configure("[\"/bin/sh\", \"-c\", \"sleep 600\"]");
    let ran = world.run_within("", WITHIN);
    assert!(ran.code == 0 && ran.err.contains("was killed"), "{ran}");

    configure(&format!("[\"{program}\", \"argument\"]"));
    world.run("").exits(0);
    let text = fs::read_to_string(world.path("told")).unwrap();
    let mut lines = text.lines();
    let message: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&message["event"], &message["policy"]), (&"finding".into(), &"out".into()));
    assert_eq!(lines.next(), Some("finding root_missing argument"));
}

#[test]
fn without_memory_each_run_tells_what_it_finds_and_nothing_is_over() {
    let webhook = hook();
    let world = World::with_policy(&format!("[state]\nurl = \"none\"\n[notify]\nwebhook = \"{}\"", webhook.url("/")));
    fs::remove_dir(world.path("out")).unwrap();
    world.run("").exits(0);
    world.run("").exits(0);
    assert_eq!(told(&webhook), [event("finding", "root_missing"), event("finding", "root_missing")]);
    fs::create_dir(world.path("out")).unwrap();
    world.run("").exits(0);
    assert_eq!(told(&webhook), []);
    let check = world.run("config check");
    assert!(check.out.contains("each run tells what it finds"), "{check}");
}

#[test]
fn a_ping_follows_a_success_while_nothing_is_wrong() {
    let webhook = hook();
    let world = World::with_policy(&format!(
        "[files.other]\nroot = \"other\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n[notify]\nping = \"{}\"",
        webhook.url("/ping/secret")
    ));
    fs::create_dir(world.path("other")).unwrap();
    world.run("").is_fine();
    let [request] = webhook.take().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/ping/secret"));
    world.run("--dry-run").is_fine();
    world.run("stats").is_fine();
    assert!(webhook.take().is_empty(), "only runs are pinged");

    fs::remove_dir(world.path("other")).unwrap();
    world.run("").exits(0);
    world.run("sweep out").is_fine();
    assert!(webhook.take().is_empty(), "the other one is still broken");
    fs::create_dir(world.path("other")).unwrap();
    world.run("sweep other").is_fine();
    assert_eq!(webhook.take().len(), 1);
    webhook.answer(Answer::Status(503));
    let ran = world.run("");
    assert!(ran.code == 0 && ran.err.contains("the ping of a successful run was not delivered"), "{ran}");
    assert!(!ran.err.contains("secret"), "{ran}");
}

#[test]
fn after_gets_the_paths_of_what_left_its_place() {
    let world = World::new();
    let program = script(&world, "after", "");
    let all = world.path("all").to_string_lossy().into_owned();
    world.write(
        "after",
        &format!("#!/bin/sh\necho \"run of $CLEANUP_REMOVED\" >> {all}\ntr '\\0' '\\n' | sort >> {all}\n"),
    );
    fs::set_permissions(world.path("after"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write(
        "cleanup.toml",
        &format!(
            "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\nrecursive = true\n\
             [files.aside]\nroot = \"aside\"\ninclude = [\"*\"]\nmax_age = \"1h\"\ndispose = \"quarantine\"\n\
             [files.watched]\nroot = \"watched\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nmode = \"observe\"\n\
             [notify]\nafter = [\"{program}\"]\n"
        ),
    );
    let here = |text: String| text.replace(world.path("").to_str().unwrap(), "/");
    let taken = || {
        let text = fs::read_to_string(&all).unwrap_or_default();
        let _ = fs::remove_file(&all);
        here(text)
    };
    for file in ["out/a.tmp", "out/deep/b c.tmp", "out/line\nbreak.tmp", "aside/c", "watched/d"] {
        world.file(file, 2 * HOUR);
    }
    world.file("out/young.tmp", HOUR / 4);
    world.run("--dry-run").exits(0);
    assert_eq!(taken(), "");
    world.run("").is_fine();
    // `sort` sees the line break in a name as the end of one.
    assert_eq!(taken(), "run of 4\n/aside/c\n/out/a.tmp\n/out/deep/b c.tmp\n/out/line\nbreak.tmp\n");
    world.run("").is_fine();
    assert_eq!(taken(), "", "nothing was removed");

    world.file("out/e.tmp", 2 * HOUR);
    world.run("plan --out plan.jsonl").exits(0);
    assert_eq!(taken(), "");
    world.run("apply plan.jsonl").is_fine();
    assert_eq!(taken(), "run of 1\n/out/e.tmp\n");

    world.write("after", "#!/bin/sh\nexit 9\n");
    world.file("out/f.tmp", 2 * HOUR);
    let ran = world.run("");
    assert!(ran.code == 0 && ran.err.contains("`after` failed") && ran.err.contains("exit code 9"), "{ran}");
    assert_eq!(world.left("out"), ["deep", "young.tmp"]);
}

#[test]
fn no_secret_is_shown_anywhere() {
    let webhook = hook();
    let notify = format!(
        "webhook = \"{}\"\nping = \"{}\"\ncommand = [\"/bin/true\"]\nafter = [\"/bin/cat\"]\non = [\"failed\", \"held\"]\n\
         headers = {{ Authorization = \"Bearer hush\" }}",
        webhook.url("/hush?hush"),
        webhook.url("/hush")
    );
    let world = world(&notify);
    for line in ["config check", "config show", "config check --json", "config show --json", "notify --test", "-vv"] {
        let ran = world.run(line);
        assert_eq!(ran.code, 0, "{line}: {ran}");
        assert!(!ran.to_string().contains("hush"), "{line}: {ran}");
    }
    let check = world.run("config check");
    for line in ["webhook     http://127.0.0.1:", "command     /bin/true", "on          failed, held, and what has"] {
        assert!(check.out.contains(line), "{line}: {check}");
    }
    assert_eq!(world.run("config check --json").json()["notify"]["after"], "/bin/cat");
    // Neither in an error about the line, nor in one about the whole file.
    for broken in
        [notify.replace("http:", "gopher:"), format!("{notify}\n="), notify.replace("Bearer", "Bea\\u0007rer")]
    {
        let text =
            format!("[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n[notify]\n{broken}\n");
        world.write("cleanup.toml", &text);
        let ran = world.run("");
        assert_eq!(ran.code, 78, "{ran}");
        assert!(!ran.err.contains("hush"), "{ran}");
    }
}

#[test]
fn the_url_may_be_in_a_file_and_a_variable_may_leave_it_open() {
    let webhook = hook();
    let world = world("webhook_file = \"url\"\nping = \"${PING_URL:-}\"");
    fs::remove_dir(world.path("out")).unwrap();
    let ran = world.run("");
    assert!(ran.code == 0 && ran.err.contains("cannot read [folder]/url"), "{ran}");
    assert!(world.run("config check").out.contains("cannot read [folder]/url"));
    world.write("url", "secret");
    let ran = world.run("");
    assert!(ran.err.contains("[folder]/url holds no URL to call") && !ran.err.contains("secret"), "{ran}");
    world.write("url", &format!("{}\n", webhook.url("/x")));
    world.run("").exits(0);
    assert_eq!(told(&webhook), [event("finding", "root_missing")]);
}

#[test]
fn a_test_message_says_what_came_of_each() {
    let webhook = hook();
    let url = webhook.url("/secret");
    let world = world(&format!("webhook = \"{url}\"\ncommand = [\"/bin/false\"]\nping = \"{url}\""));
    let ran = world.run("notify --test");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.out.contains("webhook: delivered to http://127.0.0.1:") && ran.out.contains("ping: delivered"),
        "{ran}"
    );
    assert!(ran.err.contains("error: command: /bin/false ended with exit code 1"), "{ran}");
    let requests = webhook.take();
    let message: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!((requests.len(), &message["event"]), (2, &"test".into()));
    let json = world.run("notify --test --json").json();
    assert_eq!((&json["targets"][0]["target"], &json["targets"][0]["error"]), (&"webhook".into(), &Value::Null));
    assert!(World::with_policy("").run("notify --test").is_fine().contains("Nobody to tell"));
    World::with_policy("").run("notify").exits(2);
}

#[test]
fn only_the_codes_that_are_asked_for_are_told() {
    let webhook = hook();
    let world = world(&format!("webhook = \"{}\"\non = [\"held\"]\nrecovered = false", webhook.url("/")));
    world.run("").is_fine();
    fs::remove_dir(world.path("out")).unwrap();
    world.run("").exits(0);
    fs::create_dir(world.path("out")).unwrap();
    world.run("").exits(0);
    assert_eq!(told(&webhook), []);
}

#[test]
fn https_trusts_what_ca_file_names_and_nothing_else() {
    let world = World::with_policy("");
    certificates(&world);
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "0", "-www", "-cert", "signed.crt", "-key", "signed.key"])
        .current_dir(world.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let accepts = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    let port = accepts.rsplit_once(':').unwrap().1.to_owned();
    let pinged = |host: &str, more: &str| {
        let policy = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n";
        world.write("cleanup.toml", &format!("{policy}[notify]\nping = \"https://{host}:{port}/hush\"\n{more}"));
        world.run_within("", WITHIN)
    };
    pinged("localhost", "ca_file = \"ca.crt\"").is_fine();
    for (host, more, said) in [
        ("localhost", "", "UnknownIssuer"),
        ("localhost", "ca_file = \"self.crt\"", "UnknownIssuer"),
        ("127.0.0.1", "ca_file = \"ca.crt\"", "not valid for name"),
        ("localhost", "ca_file = \"ca.key\"", "holds no certificate in PEM"),
        ("localhost", "ca_file = \"missing\"", "cannot read [folder]/missing"),
    ] {
        let ran = pinged(host, more);
        assert!(ran.code == 0 && ran.err.contains(said) && !ran.err.contains("hush"), "{host} {more}: {ran}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Each as it stands in the documentation, with the places that it calls put in place of those of the world.
#[test]
fn the_recipes_of_the_documentation_work() {
    let docs = include_str!("../../../../docs/notifications.md");
    let recipe = |mark: &str| {
        let mut fences = docs.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
        let found = fences.find(|fence| fence.contains(mark)).unwrap_or_else(|| panic!("no recipe with {mark}"));
        found.split_once('\n').unwrap().1.to_owned()
    };
    let webhook = hook();
    let world = World::with_policy("");
    world.write("mail", "");
    world.write("urls", "");
    let (mail, urls) = (world.path("mail"), world.path("urls"));
    let purge = script(&world, "purge-cdn", &format!("printf '%s\\n' \"$@\" >> {}", urls.display()));
    let root = world.path("out").to_str().unwrap().to_owned();
    let run = |recipe: &str| {
        let policy = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\n";
        world.write("cleanup.toml", &format!("{policy}{recipe}"));
        let mut command = world.command(&[]);
        command.env("SLACK_WEBHOOK_URL", webhook.url("/services/T0")).env("HEALTHCHECKS_URL", webhook.url("/uuid"));
        let ran = world.ran(command.env("NTFY_TOKEN", "tk_1").output().unwrap());
        assert!(ran.code == 0 && !ran.err.contains("delivered") && !ran.err.contains("after"), "{ran}");
    };
    // Each is a target of its own, to which nothing was told yet.
    let forget = || drop(fs::remove_file(world.path(".cleanup/notified.json")));

    run(&recipe("HEALTHCHECKS_URL"));
    assert_eq!(webhook.take()[0].path, "/uuid");
    world.file("out/a b.tmp", 2 * HOUR);
    world.file("out/c.tmp", 2 * HOUR);
    run(&recipe("purge-cdn").replace("/usr/local/bin/purge-cdn", &purge).replace("/srv/www", &root));
    let mut purged: Vec<String> = fs::read_to_string(urls).unwrap().lines().map(str::to_owned).collect();
    purged.sort();
    assert_eq!(purged, ["https://www.example.org/a b.tmp", "https://www.example.org/c.tmp"]);

    fs::remove_dir(world.path("out")).unwrap();
    run(&recipe("SLACK_WEBHOOK_URL"));
    let request = webhook.take().remove(0);
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(request.path == "/services/T0" && message["text"].is_string(), "{message}");
    forget();
    run(&recipe("ntfy.sh").replace("https://ntfy.sh", &webhook.url("")));
    let request = webhook.take().remove(0);
    assert_eq!(request.path, "/my-topic?tpl=yes&t=%7B%7B.event%7D%7D&m=%7B%7B.text%7D%7D");
    assert_eq!(request.headers["authorization"], "Bearer tk_1");
    forget();
    run(&recipe("sendmail").replace("/usr/sbin/sendmail -t", &format!("tee {}", mail.display())));
    let text = fs::read_to_string(mail).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.starts_with("To: root\nSubject: cleanup on ") && head.ends_with(": finding"), "{text}");
    assert!(body.starts_with("cleanup on ") && body.contains(": out: no such folder: "), "{text}");
}
