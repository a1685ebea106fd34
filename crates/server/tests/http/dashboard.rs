//! The pages for people, as they are served: what they show, whom they ask for the token, what they never do.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use cleanup_server::listen::Peer;

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

#[tokio::test]
async fn a_sweep_is_shown_before_it_is_made_and_only_what_was_shown_is_swept() {
    let files = vec![("models/old.step", HOUR), ("svgs/old.svg", 2 * HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    let plan = dry_run(&world, "policy=svgs", &[]).await;
    let page = world.get(&format!("/runs/{plan}")).await;
    let shown = is_page(&page, 200);
    for word in ["1 item would go", "old.svg", "older than", "Sweep now"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!((world.count("models"), world.count("svgs")), (1, 1), "a dry run removes nothing");

    let swept = world.call("POST", "/sweep", &[FORM], &format!("plan={plan}")).await;
    assert_eq!((swept.status, world.count("models"), world.count("svgs")), (303, 1, 0), "{swept}");
    let page = world.get(swept.header("location").unwrap()).await;
    assert!(is_page(&page, 200).contains("1 item went") && !page.body.contains("Sweep now"));
    let overview = world.get("/").await;
    assert!(is_page(&overview, 200).contains("1 file went"), "{overview}");
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
    assert!(is_page(&shown, 200).contains("It is held until") && shown.body.contains("Release it"));
    assert!(is_page(&world.get("/files").await, 200).contains("models/a.step"), "the list of what is held");
    world.call("POST", &format!("{page}/release"), &[FORM], "").await;
    assert!(is_page(&world.get(&page).await, 200).contains("While it is held"));
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
    assert!(is_page(&wrong, 401).contains("That is not the token") && wrong.body.contains("value=\"/runs\""));
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
    for page in ["/", "/runs", "/runs/x", "/files?contains=a", "/explain?path=/etc/passwd", "/files/temp-models.eA"] {
        let answer = world.get(page).await;
        let shown = is_page(&answer, 401);
        assert!(!shown.contains("temp-models</") && !shown.contains("svgs"), "{page}: {shown}");
    }
    assert_eq!(world.get("/assets/none.css").await.status, 404);
}

#[tokio::test]
async fn hostile_names_are_text_on_every_page() {
    let world = World::new().await;
    let long = format!("{}.step", "x".repeat(250));
    let names: [&[u8]; 4] =
        [b"<img src=x onerror=alert(1)>.step", "\u{202e}gpj.step".as_bytes(), b"\xff\xfe.step", long.as_bytes()];
    for name in names {
        let path = world.path("models").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, "x").unwrap();
        let old = std::time::SystemTime::now() - 2 * HOUR;
        std::fs::File::open(&path).unwrap().set_times(std::fs::FileTimes::new().set_modified(old)).unwrap();
    }
    let plan = dry_run(&world, "policy=temp-models", &[]).await;
    let page = world.get(&format!("/runs/{plan}")).await;
    let shown = is_page(&page, 200);
    for text in ["&#60;img src=x onerror=alert(1)&#62;.step", "\\u{202e}gpj.step", "\\xff\\xfe.step", &long] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("<img src=x") && !shown.contains('\u{202e}') && !shown.contains('\u{fffd}'), "{shown}");
    let target = "/explain?policy=temp-models&path=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.step";
    let explained = world.get(target).await;
    assert!(!is_page(&explained, 200).contains("<img src=x") && explained.body.contains("goes with the next sweep"));
    let searched = world.get("/files?contains=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!is_page(&searched, 200).contains("<script>alert"));
}

#[tokio::test]
async fn a_path_is_explained_whoever_means_it() {
    let world = World::with(Plan { files: vec![("svgs/keep-a.svg", 2 * HOUR)], ..Plan::default() }).await;
    let root = world.path("svgs/keep-a.svg");
    let explained = world.get(&format!("/explain?path={}&policy=", root.display())).await;
    assert!(is_page(&explained, 200).contains("stays") && explained.body.contains("archive"), "{explained}");
    assert!(is_page(&world.get("/explain?path=/nowhere/else").await, 200).contains("the root of no policy"));
    for wrong in ["/explain?path=relative", "/explain?path=a/../b&policy=svgs", "/explain?path=a&policy=no"] {
        assert!(matches!(world.get(wrong).await.status, 404 | 422), "{wrong}");
    }
}
