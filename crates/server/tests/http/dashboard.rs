//! The pages for people, as they are served: what they show, whom they ask for the token, what they never do.

use std::cmp::Ordering::{Greater, Less};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use cleanup_server::net::socket::Peer;
use serde_json::json;

use crate::client::Answer;
use crate::world::{HOUR, Plan, TOKEN, World};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// Demands a page, with the headers that keep it to itself.
#[track_caller]
fn is_page(answer: &Answer, status: u16) -> &str {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer}");
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    for inline in ["<style", "style=\"", "<script>", "onclick", "javascript:", "http://", "https://"] {
        assert!(!answer.body.contains(inline), "{inline}: {answer}");
    }
    &answer.body
}

/// The id of the dry run that a form leads to.
async fn dry_run(world: &World, form: &str, headers: &[&str]) -> String {
    let answer = world.call("POST", "/dry-run", &[&[FORM], headers].concat(), form).await;
    assert_eq!(answer.status, 303, "{answer}");
    answer.header("location").unwrap().strip_prefix("/runs/").unwrap().to_owned()
}

#[tokio::test]
async fn every_page_is_served_and_loads_from_here_alone() {
    let world = World::with(Plan { files: vec![("models/a.step", Duration::ZERO)], ..Plan::default() }).await;
    let id = world.get("/api/v1/files").await.is(200)["files"][0]["id"].as_str().unwrap().to_owned();
    for page in ["/", "/?over=month&show=files", "/?over=nonsense", "/runs", "/runs?policy=svgs&status=ok", "/files"] {
        is_page(&world.get(page).await, 200);
    }
    let file = world.get(&format!("/files/{id}")).await;
    assert!(is_page(&file, 200).contains("a.step"));
    is_page(&world.get("/explain").await, 200);
    is_page(&world.get("/login").await, 200);
    let overview = world.get("/").await;
    for asset in overview.body.split('"').filter(|part| part.starts_with("/assets/")) {
        let answer = world.get(asset).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    world.get("/assets/other.css").await.is_problem(404);
    for nothing in ["/files/temp-models.eA", "/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        is_page(&world.get(nothing).await, 404);
    }
}

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test]
async fn faults_are_pages_for_people_and_problems_for_programs() {
    let world = World::new().await;
    for (method, target, status, words) in [
        ("GET", "/nowhere", 404, "Page not found"),
        ("GET", "/policies/svg", 404, "No such policy"),
        ("GET", "/runs/x/y", 404, "Page not found"),
        ("GET", "/assets/none.css", 404, "Page not found"),
        ("GET", "/dry-run", 405, "Nothing to see here"),
        ("PUT", "/files", 405, "Nothing to see here"),
    ] {
        let answer = world.call(method, target, &[HTML], "").await;
        assert!(is_page(&answer, status).contains(words), "{answer}");
        assert!(!answer.body.contains("openapi.json lists"), "{answer}");
    }
    assert!(world.call("PUT", "/files", &[HTML], "").await.header("allow").is_some());
    let cross = world.call("POST", "/dry-run", &[FORM, HTML, "Origin: http://evil.example"], "").await;
    assert!(is_page(&cross, 403).contains("Not allowed from another site"), "{cross}");
    let host = world.call("GET", "/", &[HTML, "Host: evil.example"], "").await;
    is_page(&host, 421);
    for target in ["/nowhere", "/dry-run"] {
        let answer = world.get(target).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    }
    world.call("GET", "/api/v1/runs/none", &[HTML], "").await.is_problem(404);
    world.call("GET", "/api/v1/nowhere", &[HTML], "").await.is_problem(404);
}

#[tokio::test]
async fn whoever_needs_the_token_is_asked_for_it_wherever_he_knocks() {
    let world = World::with_token(Peer::Remote).await;
    let asked = world.call("GET", "/nowhere", &[HTML], "").await;
    assert!(is_page(&asked, 401).contains("name=\"token\""), "{asked}");
    assert!(asked.header("www-authenticate").unwrap().starts_with("Bearer"), "{asked}");
    world.get("/nowhere").await.is_problem(401);
}

#[tokio::test]
async fn a_policy_has_a_page_of_its_own() {
    let few = "[files.few]\nroot = \"few\"\ninclude = [\"*\"]\narchives = [\"keep-*\"]\nmax_files = 1\n\
               dispose = \"quarantine\"\n";
    let files = vec![("models/a.step", Duration::ZERO)];
    let world = World::with(Plan { more: few.to_owned(), files, ..Plan::default() }).await;
    std::fs::create_dir(world.path("few")).unwrap();
    for name in ["few/keep-a", "few/keep-b", "few/c"] {
        world.file(name, 2 * HOUR);
    }
    let tracked = world.get("/policies/temp-models").await;
    for words in [
        "Each file is removed at its own deadline.",
        ">a.step<",
        "<code>max_age</code>",
        "No runs yet.",
        "Files due per hour",
        "href=\"/files?policy=temp-models",
    ] {
        let page = world.get("/policies/temp-models?show=files").await;
        assert!(is_page(&page, 200).contains(words), "{words}: {page}");
    }
    assert!(!tracked.body.contains("id=\"quarantine-h\""), "{tracked}");
    world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["few"] })).await.is(200);
    let page = world.get("/policies/few").await;
    for words in [
        "role=\"meter\" aria-label=\"max_files of few\" aria-valuemin=\"0\" aria-valuemax=\"3\" aria-valuenow=\"2\"",
        "2 files on disk, at most 1 allowed; in the way: 2 archived",
        "Needs attention",
        "Next step:",
        "<dt>In quarantine</dt><dd>1 item, 4.1 kB</dd>",
        "Next purge",
        "All runs of few",
    ] {
        assert!(is_page(&page, 200).contains(words), "{words}: {page}");
    }
    assert!(!page.body.contains("Due next"), "nobody knows of what is not tracked: {page}");
    // The script asks again whenever something happens: the notes of the quarantine are not read for that.
    let again = world.call("GET", "/policies/few", &["X-Again: 1"], "").await;
    assert!(!is_page(&again, 200).contains("<dt>In quarantine</dt>"), "{again}");
    for page in ["/", "/runs"] {
        assert!(is_page(&world.get(page).await, 200).contains("href=\"/policies/few\""), "{page}");
    }
}

#[tokio::test]
async fn files_are_listed_by_size_age_and_deadline() {
    let files = vec![("models/b.step", Duration::from_mins(9)), ("models/a.step", Duration::from_mins(3))];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    std::fs::write(world.path("models/b.step"), [b' '; 9000]).unwrap();
    let order = |page: &str| page.find(">a.step<").unwrap().cmp(&page.find(">b.step<").unwrap());
    for (sort, expected, sorted) in [
        ("", Less, "aria-sort=\"ascending\"><a href=\"/files\">Path"),
        ("path", Less, "aria-sort=\"ascending\"><a href=\"/files\">Path"),
        ("nonsense", Less, "aria-sort=\"ascending\"><a href=\"/files\">Path"),
        ("largest", Greater, "aria-sort=\"descending\"><a href=\"/files?sort=smallest\">Size"),
        ("smallest", Less, "aria-sort=\"ascending\"><a href=\"/files?sort=largest\">Size"),
        ("newest", Greater, "aria-sort=\"descending\"><a href=\"/files?sort=oldest\">"),
        ("oldest", Less, "aria-sort=\"ascending\"><a href=\"/files?sort=newest\">"),
        ("due", Less, "aria-sort=\"ascending\"><a href=\"/files?sort=due\">Due"),
    ] {
        // What was written to just now is noticed a moment later.
        let mut page = world.get(&format!("/files?sort={sort}")).await;
        for _ in 0..200 {
            if order(is_page(&page, 200)) == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            page = world.get(&format!("/files?sort={sort}")).await;
        }
        assert_eq!(order(is_page(&page, 200)), expected, "{sort}: {page}");
        assert!(page.body.contains(sorted), "{sort}: {page}");
    }
}

#[tokio::test]
async fn a_plan_is_of_a_dry_run_or_of_a_policy() {
    let world = World::with(Plan { files: vec![("svgs/old.svg", 2 * HOUR)], ..Plan::default() }).await;
    let made = world.call("POST", "/plan", &[FORM], "policy=svgs").await;
    assert_eq!(made.status, 303, "{made}");
    let page = world.get(made.header("location").unwrap()).await;
    assert!(is_page(&page, 200).contains("1 item would be removed") && page.body.contains("old.svg"), "{page}");
    assert_eq!(world.count("svgs"), 1, "a plan removes nothing");
    for (form, status) in
        [("", 422), ("policy=no", 404), ("run=01ARZ3NDEKTSV4RRFFQ69G5FAV", 404), ("run=a&policy=svgs", 422)]
    {
        is_page(&world.call("POST", "/plan", &[FORM], form).await, status);
    }
}

#[tokio::test]
async fn all_times_are_in_one_zone_that_is_named_once() {
    let more = "time_zone = \"America/New_York\"\n";
    let folder = World::with(Plan { starts: false, ..Plan::default() }).await.folder.clone();
    let config = folder.path().join("cleanup.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{more}{text}")).unwrap();
    let world = World::open(folder, Peer::Loopback).await;
    world.start(100).await;
    world.file("models/a.step", Duration::ZERO);
    for page in ["/", "/policies/temp-models", "/files", "/runs", "/quarantine", "/removals", "/explain", "/nowhere"] {
        let page = world.call("GET", page, &[HTML], "").await;
        assert_eq!(page.body.matches("New_York (E").count(), 1, "{page}");
        assert!(page.body.contains("data-zone=\"America/New_York\""), "{page}");
        let visible = page.body.replace("datetime=\"", "");
        assert!(!visible.contains(" UTC<") && !visible.contains("EST\"") && !visible.contains("EDT\""), "{page}");
    }
}

#[tokio::test]
async fn removals_are_found_by_path_policy_run_and_time_page_by_page() {
    let world = World::with(Plan { files: vec![("svgs/keep-a.svg", HOUR)], ..Plan::default() }).await;
    for number in 0..120 {
        world.file(&format!("svgs/{number}.svg"), 2 * HOUR);
    }
    let sweep = world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["svgs"] })).await.is(200);
    let run = sweep["run_id"].as_str().unwrap();
    let whole = world.path("svgs/7.svg");
    for (target, rows) in [
        ("/removals".to_owned(), 50),
        ("/removals?path=7.svg".to_owned(), 12),
        ("/removals?path=7.svg&policy=svgs&since=1d".to_owned(), 12),
        ("/removals?path=7.svg&policy=temp-models".to_owned(), 0),
        (format!("/removals?path=7.svg&run={run}"), 12),
        (format!("/removals?path={}", whole.display()), 1),
        ("/removals?path=svgs/7.svg".to_owned(), 1),
        ("/removals?path=11*.svg".to_owned(), 11),
        ("/removals?path=keep-a".to_owned(), 0),
    ] {
        let page = world.get(&target).await;
        assert_eq!(is_page(&page, 200).matches("<th scope=\"row\" class=\"path\">").count(), rows, "{target}: {page}");
    }
    for words in ["older than", "a manual run", "href=\"/policies/svgs\""] {
        assert!(world.get("/removals?path=7.svg").await.body.contains(words), "{words}");
    }
    for wrong in ["/removals?path=[", "/removals?before=nonsense", "/removals?run=no"] {
        let page = world.get(wrong).await;
        assert!(matches!(page.status, 404 | 422), "{wrong}: {page}");
        is_page(&page, page.status);
    }
    // All of a run, each once, on the pages of the run and of the search.
    for start in [format!("/runs/{run}"), format!("/removals?run={run}")] {
        let mut names = std::collections::HashSet::new();
        let (mut target, mut pages) = (Some(start.clone()), 0);
        while let Some(page) = target {
            let answer = world.get(page.split('#').next().unwrap()).await;
            let rows = is_page(&answer, 200).split("<th scope=\"row\" class=\"path\"><bdi>").skip(1);
            names.extend(rows.map(|row| row.split('<').next().unwrap().to_owned()));
            pages += 1;
            let next =
                answer.body.split("href=\"").find(|rest| rest.split('>').next().unwrap().contains("rel=\"next\""));
            target = next.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&"));
        }
        assert_eq!((names.len(), pages), (120, 3), "{start}");
    }
    let gone = world.get("/explain?policy=svgs&path=7.svg").await;
    assert!(is_page(&gone, 200).contains("Earlier removals of this path"), "{gone}");
}

#[tokio::test]
async fn pages_stay_small_beside_20_000_files() {
    let world = World::with(Plan { old_models: 20_000, ..Plan::default() }).await;
    for page in [
        "/?show=files",
        "/files",
        "/files?sort=largest",
        "/files?sort=oldest&contains=9",
        "/files?sort=due",
        "/policies/temp-models",
    ] {
        let answer = world.get(page).await;
        let bytes = is_page(&answer, 200).len();
        assert!(bytes < 150_000, "{page}: {bytes} bytes");
    }
    // Every page leads to the next one until each file was listed once.
    let mut names = std::collections::HashSet::new();
    let mut target = Some("/files?sort=largest".to_owned());
    let mut pages = 0;
    while let Some(page) = target {
        let answer = world.get(&page).await;
        let listed = answer.body.split("<th scope=\"row\" class=\"path\"><a href=\"").skip(1);
        names.extend(listed.map(|rest| rest.split('"').next().unwrap().to_owned()));
        pages += 1;
        let next = answer.body.split("<a href=\"").find(|rest| rest.contains("rel=\"next\">Next page"));
        target = next.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&")).filter(|_| pages < 5);
    }
    assert_eq!((names.len(), pages), (500, 5), "each page has its own files");
}

#[tokio::test]
async fn a_sweep_is_shown_before_it_is_made_and_only_what_was_shown_is_swept() {
    let files = vec![("models/old.step", HOUR), ("svgs/old.svg", 2 * HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    let plan = dry_run(&world, "policy=svgs", &[]).await;
    let page = world.get(&format!("/runs/{plan}")).await;
    let shown = is_page(&page, 200);
    for word in ["1 item would be removed", "old.svg", "older than", "Sweep now"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!((world.count("models"), world.count("svgs")), (1, 1), "a dry run removes nothing");

    let swept = world.call("POST", "/sweep", &[FORM], &format!("plan={plan}")).await;
    assert_eq!((swept.status, world.count("models"), world.count("svgs")), (303, 1, 0), "{swept}");
    let page = world.get(swept.header("location").unwrap()).await;
    assert!(is_page(&page, 200).contains("1 item removed") && !page.body.contains("Sweep now"));
    let overview = world.get("/").await;
    assert!(is_page(&overview, 200).contains("1 file removed"), "{overview}");
}

#[tokio::test]
async fn nothing_is_done_without_its_plan_and_nothing_by_looking() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    for form in ["", "plan=", "plan=01ARZ3NDEKTSV4RRFFQ69G5FAV", "policies=temp-models"] {
        let answer = world.call("POST", "/sweep", &[FORM], form).await;
        assert!(matches!(answer.status, 404 | 415 | 422), "{form}: {answer}");
    }
    let real = world.post("/api/v1/sweeps?wait=true", &serde_json::json!({ "policies": ["svgs"] })).await.is(200);
    let form = format!("plan={}", real["run_id"].as_str().unwrap());
    is_page(&world.call("POST", "/sweep", &[FORM], &form).await, 404);
    is_page(&world.call("POST", "/dry-run", &[FORM], "policy=no").await, 404);
    world.call("POST", "/dry-run", &[FORM, "Origin: http://evil.example"], "").await.is_problem(403);
    for target in ["/dry-run", "/sweep", "/files/temp-models.eA/hold", "/files/temp-models.eA/release", "/logout"] {
        world.get(target).await.is_problem(405);
    }
    assert_eq!(world.count("models"), 1);
}

#[tokio::test]
async fn a_file_is_held_and_released_on_its_page() {
    let world = World::with(Plan { files: vec![("models/a.step", Duration::ZERO)], ..Plan::default() }).await;
    let id = world.get("/api/v1/files").await.is(200)["files"][0]["id"].as_str().unwrap().to_owned();
    let page = format!("/files/{id}");
    let held = world.call("POST", &format!("{page}/hold"), &[FORM], "for=1d").await;
    assert_eq!((held.status, held.header("location")), (303, Some(page.as_str())));
    let shown = world.get(&page).await;
    assert!(is_page(&shown, 200).contains("is held until") && shown.body.contains(">Release<"));
    assert!(is_page(&world.get("/files").await, 200).contains("models/a.step"), "the list of what is held");
    world.call("POST", &format!("{page}/release"), &[FORM], "").await;
    assert!(is_page(&world.get(&page).await, 200).contains("A hold keeps it"));
    is_page(&world.call("POST", &format!("{page}/hold"), &[FORM], "for=-1").await, 422);
    is_page(&world.call("POST", "/files/temp-models.eA/hold", &[FORM], "for=1d").await, 404);
}

#[tokio::test]
async fn acting_asks_for_the_token_and_leads_back() {
    let world = World::with_token(Peer::Loopback).await;
    assert!(is_page(&world.get("/").await, 200).contains("Sign in"));
    let asked = world.call("POST", "/dry-run", &[FORM], "policy=svgs").await;
    assert!(is_page(&asked, 401).contains("name=\"token\"") && asked.body.contains("name=\"next\" value=\"/\""));
    assert!(asked.header("www-authenticate").unwrap().starts_with("Bearer"));
    let asked = world.call("POST", "/files/temp-models.eA/hold", &[FORM], "for=1d").await;
    assert!(is_page(&asked, 401).contains("name=\"next\" value=\"/files/temp-models.eA\""));

    let html = "Accept: text/html,*/*";
    let wrong = world.call("POST", "/login", &[FORM, html], "token=wrong&next=/runs").await;
    assert!(is_page(&wrong, 401).contains("Wrong token") && wrong.body.contains("value=\"/runs\""));
    let evil = world.call("POST", "/login", &[FORM, html], &format!("token={TOKEN}&next=//evil.example")).await;
    assert_eq!((evil.status, evil.header("location")), (303, Some("/")));
    let right = world.call("POST", "/login", &[FORM, html], &format!("token={TOKEN}&next=/runs")).await;
    assert_eq!((right.status, right.header("location")), (303, Some("/runs")));
    let cookie = format!("Cookie: {}", right.header("set-cookie").unwrap().split(';').next().unwrap());
    dry_run(&world, "policy=svgs", &[&cookie]).await;
    assert!(is_page(&world.call("GET", "/", &[&cookie], "").await, 200).contains("Sign out"));
}

#[tokio::test]
async fn from_elsewhere_pages_show_nothing_without_the_token() {
    let world = World::with_token(Peer::Remote).await;
    for page in [
        "/",
        "/runs",
        "/runs/x",
        "/files?contains=a",
        "/explain?path=/etc/passwd",
        "/files/temp-models.eA",
        "/quarantine",
        "/quarantine/restore?run=0",
        "/removals?path=a",
        "/policies/temp-models",
    ] {
        let answer = world.get(page).await;
        let shown = is_page(&answer, 401);
        assert!(!shown.contains("temp-models</") && !shown.contains("svgs"), "{page}: {shown}");
    }
    assert_eq!(world.get("/assets/none.css").await.status, 404);
}

#[tokio::test]
async fn hostile_names_are_text_on_every_page() {
    let world = World::new().await;
    // Not of the tracked policy: whether what appears there goes or stays depends on whether it has been noticed by then.
    let long = format!("{}.svg", "x".repeat(250));
    let names: [&[u8]; 4] =
        [b"<img src=x onerror=alert(1)>.svg", "\u{202e}gpj.svg".as_bytes(), b"\xff\xfe.svg", long.as_bytes()];
    for name in names {
        let path = world.path("svgs").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, "x").unwrap();
        let old = std::time::SystemTime::now() - 2 * HOUR;
        std::fs::File::open(&path).unwrap().set_times(std::fs::FileTimes::new().set_modified(old)).unwrap();
    }
    let plan = dry_run(&world, "policy=svgs", &[]).await;
    let page = world.get(&format!("/runs/{plan}")).await;
    let shown = is_page(&page, 200);
    for text in ["&#60;img src=x onerror=alert(1)&#62;.svg", "\\u{202e}gpj.svg", "\\xff\\xfe.svg", &long] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("<img src=x") && !shown.contains('\u{202e}') && !shown.contains('\u{fffd}'), "{shown}");
    let target = "/explain?policy=svgs&path=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.svg";
    let explained = world.get(target).await;
    assert!(!is_page(&explained, 200).contains("<img src=x") && explained.body.contains("&#60;img src=x onerror"));
    let searched = world.get("/files?contains=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!is_page(&searched, 200).contains("<script>alert"));
}

#[tokio::test]
async fn a_path_is_explained_whoever_means_it() {
    let world = World::with(Plan { files: vec![("svgs/keep-a.svg", 2 * HOUR)], ..Plan::default() }).await;
    let root = world.path("svgs/keep-a.svg");
    let explained = world.get(&format!("/explain?path={}&policy=", root.display())).await;
    assert!(is_page(&explained, 200).contains("kept</span>") && explained.body.contains("archive"), "{explained}");
    // It is old enough to go, were it no archive.
    let rules: Vec<&str> = explained.body.split("<th scope=\"row\"><code>").skip(1).collect();
    assert!(rules[0].starts_with("archives</code>") && rules[0].contains("decides"), "{explained}");
    let age = rules.iter().find(|rule| rule.starts_with("max_age</code>")).unwrap();
    assert!(age.contains(">remove<") && age.contains("older than") && !age.contains("decides"), "{explained}");
    assert!(is_page(&world.get("/explain?path=/nowhere/else").await, 200).contains("the root of no policy"));
    for wrong in ["/explain?path=relative", "/explain?path=a/../b&policy=svgs", "/explain?path=a&policy=no"] {
        assert!(matches!(world.get(wrong).await.status, 404 | 422), "{wrong}");
    }
}

/// Everything that is older than an hour goes into quarantine.
const KEPT: &str = "[files.kept]\nroot = \"kept\"\ninclude = [\"*\"]\nmax_age = \"1h\"\ndispose = \"quarantine\"\n";

/// A world with these old files in quarantine, and the run that moved them there.
async fn quarantined(more: &str, names: &[&[u8]]) -> (World, String) {
    let world = World::with(Plan { more: format!("{more}\n{KEPT}"), ..Plan::default() }).await;
    std::fs::create_dir(world.path("kept")).unwrap();
    for name in names {
        let path = world.path("kept").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, "x").unwrap();
        let old = std::time::SystemTime::now() - 2 * HOUR;
        std::fs::File::open(&path).unwrap().set_times(std::fs::FileTimes::new().set_modified(old)).unwrap();
    }
    let token = format!("Authorization: Bearer {TOKEN}");
    let report = world.call("POST", "/api/v1/sweeps?wait=true", &[&token], "").await.is(200);
    assert_eq!(report["totals"]["quarantined"], names.len());
    (world, report["run_id"].as_str().unwrap().to_owned())
}

/// The fields of a page's form, as a browser would send them.
fn fields(page: &str) -> String {
    let hidden = page.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |part: &str| {
        let mut parts = part.split('"');
        let (name, value) = (parts.next().unwrap(), parts.nth(1).unwrap());
        format!("{name}={}", percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC))
    };
    hidden.map(field).collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn a_run_comes_back_after_its_plan_was_shown() {
    let (world, run) = quarantined("", &[b"a", b"b"]).await;
    let page = world.get("/quarantine").await;
    assert!(is_page(&page, 200).contains("2 items in quarantine") && page.body.contains("older than"), "{page}");
    let undo = format!("/quarantine/restore?run={run}");
    let of_run = world.get(&format!("/runs/{run}")).await;
    assert!(
        is_page(&of_run, 200).contains("<dt>quarantined</dt><dd>2</dd>") && of_run.body.contains(&undo),
        "{of_run}"
    );
    for words in ["2 items removed, 8.2 kB moved into quarantine", "<dt>freed</dt><dd>0 B</dd>"] {
        assert!(of_run.body.contains(words), "{words}: {of_run}");
    }
    let metrics = world.get("/metrics").await;
    for line in
        ["cleanup_bytes_freed_total{policy=\"kept\"} 0\n", "cleanup_bytes_quarantined_total{policy=\"kept\"} 8192\n"]
    {
        assert!(metrics.body.contains(line), "{line}: {metrics}");
    }
    let runs = world.get("/runs").await;
    assert!(is_page(&runs, 200).contains(&format!("<a href=\"/quarantine?run={run}\">2<")), "{runs}");

    std::fs::write(world.path("kept/b"), "new").unwrap();
    let plan = world.get(&undo).await;
    for word in ["1 item would be restored", "would be restored", "blocked", "held for 7 days", "Restore now"] {
        assert!(is_page(&plan, 200).contains(word), "{word}: {plan}");
    }
    assert!(!world.path("kept/a").exists(), "a plan changes nothing");
    let done = world.call("POST", "/quarantine/restore", &[FORM], &fields(&plan.body)).await;
    for word in ["1 item restored", ">restored<", "already exists", "Held for 7 days, until"] {
        assert!(is_page(&done, 200).contains(word), "{word}: {done}");
    }
    assert!(!done.body.contains("Restore now"), "{done}");
    assert_eq!(std::fs::read(world.path("kept/a")).unwrap(), b"x");
    assert_eq!(std::fs::read(world.path("kept/b")).unwrap(), b"new", "nothing is written over");

    std::fs::remove_file(world.path("kept/b")).unwrap();
    let rest = world.call("POST", "/quarantine/restore", &[FORM], &format!("run={run}")).await;
    assert!(is_page(&rest, 200).contains("1 item restored"), "{rest}");
    assert!(is_page(&world.get("/quarantine").await, 200).contains("Quarantine is empty"));
    assert!(!is_page(&world.get(&format!("/runs/{run}")).await, 200).contains("/quarantine/restore"));
    is_page(&world.call("POST", "/quarantine/restore", &[FORM], &format!("run={run}")).await, 404);
}

#[tokio::test]
async fn one_file_comes_back_whatever_its_name() {
    let hostile = b"<img src=x onerror=alert(1)>\xff\n\xe2\x80\xae.svg";
    let (world, _) = quarantined("", &[hostile, b"other"]).await;
    let page = world.get("/quarantine?contains=onerror").await;
    let shown = is_page(&page, 200);
    assert!(
        shown.contains("1 item<") && shown.contains("&#60;img src=x onerror=alert(1)&#62;\\xff\\u{a}\\u{202e}.svg"),
        "{shown}"
    );
    assert!(!shown.contains("<img src=x") && !shown.contains('\u{202e}') && !shown.contains('\u{fffd}'), "{shown}");
    let explained = world.get("/explain?policy=kept&path=other").await;
    let way = "href=\"/quarantine?policy=kept&#38;contains=other\"";
    assert!(is_page(&explained, 200).contains("in quarantine</span>") && explained.body.contains(way), "{explained}");
    let link = shown.split('"').find(|part| part.starts_with("/quarantine/restore?policy=")).unwrap();
    let plan = world.get(&link.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert!(is_page(&plan, 200).contains("1 item would be restored") && !plan.body.contains("<img src=x"), "{plan}");
    let done = world.call("POST", "/quarantine/restore", &[FORM], &fields(&plan.body)).await;
    assert!(is_page(&done, 200).contains("1 item restored"), "{done}");
    assert!(world.path("kept").join(std::ffi::OsStr::from_bytes(hostile)).exists());
    assert!(!world.path("kept/other").exists());
}

#[tokio::test]
async fn restoring_goes_through_the_same_guards_as_all_that_acts() {
    let (world, run) = quarantined("[server]\ntoken_file = \"token\"", &[b"a"]).await;
    let form = format!("run={run}");
    let asked = world.call("POST", "/quarantine/restore", &[FORM], &form).await;
    assert!(is_page(&asked, 401).contains("name=\"next\" value=\"/quarantine\""), "{asked}");
    let token = format!("Authorization: Bearer {TOKEN}");
    let cross = [FORM, token.as_str(), "Origin: http://evil.example"];
    world.call("POST", "/quarantine/restore", &cross, &form).await.is_problem(403);
    for (wrong, status) in [
        ("", 422),
        ("run=", 422),
        ("run=01&policy=kept", 422),
        ("policy=kept&path_bytes=Li4vYQ%3D%3D", 422),
        ("policy=no&path_bytes=YQ%3D%3D", 404),
        ("run=7ZZZ", 404),
    ] {
        let answer = world.call("POST", "/quarantine/restore", &[FORM, &token], wrong).await;
        is_page(&answer, status);
    }
    assert!(!world.path("kept/a").exists());
    is_page(&world.call("POST", "/quarantine/restore", &[FORM, &token], &form).await, 200);
    assert!(world.path("kept/a").exists());
}

#[tokio::test]
async fn limits_say_what_is_what_is_wanted_and_what_is_in_the_way() {
    let few = "[files.few]\nroot = \"few\"\ninclude = [\"*\"]\narchives = [\"keep-*\"]\nmax_files = 1\n\
               max_total_size = \"1MiB\"\n";
    let world = World::with(Plan { more: few.to_owned(), ..Plan::default() }).await;
    std::fs::create_dir(world.path("few")).unwrap();
    for name in ["few/keep-a", "few/keep-b", "few/c"] {
        world.file(name, 2 * HOUR);
    }
    world.post("/api/v1/sweeps?wait=true", &serde_json::json!({ "policies": ["few"] })).await.is(200);
    let page = world.get("/").await;
    for words in [
        "match &#34;*&#34; when a limit is exceeded. Limits: max_files 1, max_total_size 1MiB.",
        "2 files on disk, at most 1 allowed; in the way: 2 archived",
        "8.2 kB on disk, at most 1.0 MB allowed",
    ] {
        assert!(is_page(&page, 200).contains(words), "{words}: {page}");
    }
}

#[tokio::test]
async fn rows_that_nobody_has_counted_are_not_none() {
    use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
    let more = "[sessions.rows]\nurl = \"sqlite:rows.db\"\ntable = \"sessions\"\nid_column = \"id\"\n\
                activity_column = \"seen\"\nmax_idle = \"1h\"\n";
    let world = World::with(Plan { more: more.to_owned(), ..Plan::default() }).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path("rows.db")).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let made = "create table sessions (id text primary key, seen integer not null);
                insert into sessions values ('old', unixepoch() - 86400), ('a', unixepoch()), ('b', unixepoch());";
    connection.execute(made).await.unwrap();
    connection.close().await.unwrap();

    world.post("/api/v1/sweeps?wait=true", &json!({ "policies": ["rows"] })).await.is(200);
    let swept = world.get("/").await;
    assert!(is_page(&swept, 200).contains("<dt>In the table</dt><dd>not counted"), "{swept}");
    dry_run(&world, "policy=rows", &[]).await;
    let counted = world.get("/").await;
    assert!(is_page(&counted, 200).contains("<dt>In the table</dt><dd>2 rows"), "{counted}");
}
