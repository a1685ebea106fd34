//! Who may call.

use cleanup_engine::Engine;
use cleanup_server::app::access::{Access, TokenError};
use cleanup_server::net::socket::Peer;

use crate::world::{HOUR, Plan, TOKEN, World};

#[tokio::test]
async fn without_a_token_this_machine_may_do_everything() {
    for peer in [Peer::Loopback, Peer::Unix { uid: 1000 }] {
        let world = World::with(Plan { peer, ..Plan::default() }).await;
        world.call("POST", "/cleanup/manual", &[], "").await.is(200);
        world.get("/api/v1/policies").await.is(200);
    }
}

#[tokio::test]
async fn with_a_token_every_changing_call_needs_it_and_reading_does_not() {
    let world = World::with_token(Peer::Loopback).await;
    world.get("/cleanup/stats").await.is(200);
    world.get("/metrics").await;
    let refused = world.call("POST", "/cleanup/manual", &[], "").await;
    insta::assert_json_snapshot!(refused.is_problem(401));
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
    let right = format!("Authorization: Bearer {TOKEN}");
    world.call("POST", "/cleanup/manual", &[&right], "").await.is(200);
    world.call("POST", "/cleanup/manual", &[&right.replace("Bearer", "bearer")], "").await.is(200);
    for method in ["DELETE", "PUT"] {
        world.call(method, "/api/v1/files/x/hold", &[], "").await.is_problem(401);
    }
}

#[tokio::test]
async fn a_wrong_or_misplaced_token_is_none() {
    let world = World::with_token(Peer::Loopback).await;
    let right = format!("Authorization: Bearer {TOKEN}");
    for headers in [
        vec!["Authorization: Bearer wrong".to_owned()],
        vec!["Authorization: Bearer ".to_owned()],
        vec![format!("Authorization: Bearer {TOKEN}x")],
        vec![format!("Authorization: Basic {TOKEN}")],
        vec![format!("Authorization: {TOKEN}")],
        vec![format!("X-Token: {TOKEN}")],
        vec![format!("Cookie: cleanup_session={TOKEN}")],
        vec![format!("Cookie: token={TOKEN}")],
        vec![right.clone(), right.clone()],
        vec!["Authorization: \u{1}".replace('\u{1}', "Bearer \t")],
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        world.call("POST", "/cleanup/manual", &headers, "").await.is_problem(401);
    }
    world.call("POST", &format!("/cleanup/manual?token={TOKEN}"), &[], "").await.is_problem(401);
}

#[tokio::test]
async fn from_elsewhere_everything_but_the_probes_needs_the_token() {
    let world = World::with_token(Peer::Remote).await;
    let paths = ["/cleanup/stats", "/metrics", "/openapi.json", "/api/v1/files", "/api/v1/events", "/no/such/page"];
    for path in paths {
        world.get(path).await.is_problem(401);
    }
    let right = format!("Authorization: Bearer {TOKEN}");
    world.call("GET", "/cleanup/stats", &[&right], "").await.is(200);
    assert_eq!(world.get("/healthz").await.body, "ok\n");
    assert_eq!(world.get("/readyz").await.is(200), serde_json::json!({ "status": "ready" }));
    let page = world.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("type=\"password\"") && !page.body.contains("/api/v1"), "{page}");
}

#[tokio::test]
async fn without_a_token_nobody_elsewhere_may_call() {
    let world = World::with(Plan { peer: Peer::Remote, ..Plan::default() }).await;
    world.get("/cleanup/stats").await.is_problem(401);
    world.call("GET", "/cleanup/stats", &["Authorization: Bearer "], "").await.is_problem(401);
    world.call("POST", "/cleanup/manual", &[], "").await.is_problem(401);
}

#[tokio::test]
async fn a_browser_gets_a_cookie_that_is_not_the_token_and_can_give_it_back() {
    let world = World::with_token(Peer::Remote).await;
    let json = "Content-Type: application/json";
    world.call("POST", "/login", &[json], "{\"token\":\"wrong\"}").await.is_problem(401);
    let unclear = world.call("POST", "/login", &[json], &format!("{{\"tokem\":\"{TOKEN}\"}}")).await;
    assert!(!unclear.is_problem(422).to_string().contains(TOKEN));
    world.call("POST", "/login", &["Content-Type: text/plain"], TOKEN).await.is_problem(415);

    let answer = world.call("POST", "/login", &[json], &format!("{{\"token\":\"{TOKEN}\"}}")).await;
    answer.is(204);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200") && !set.contains("Secure"), "{set}");
    assert!(!set.contains(TOKEN));
    let cookie = format!("Cookie: a=b; {}", set.split(';').next().unwrap());
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is(200);
    world.call("POST", "/cleanup/manual", &[&cookie], "").await.is(200);
    world.call("POST", "/cleanup/manual", &[&cookie, "Authorization: Bearer x"], "").await.is_problem(401);

    let gone = world.call("POST", "/logout", &[&cookie], "").await;
    gone.is(204);
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is_problem(401);
}

#[tokio::test]
async fn a_form_is_sent_back_to_the_page() {
    let world = World::with_token(Peer::Loopback).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let answer = world.call("POST", "/login", &[form], &format!("token={TOKEN}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    assert!(answer.header("set-cookie").is_some());
    world.call("POST", "/login", &[form], "token=wrong").await.is_problem(401);
    world.call("POST", "/login", &[form], "other=x").await.is_problem(422);
    let https = format!("Origin: https://{}:443", world.address.ip());
    let host = format!("Host: {}", world.address.ip());
    let answer = world.call("POST", "/login", &[form, &https, &host], &format!("token={TOKEN}")).await;
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn a_new_token_ends_every_session() {
    let world = World::with_token(Peer::Remote).await;
    let login = format!("{{\"token\":\"{TOKEN}\"}}");
    let answer = world.call("POST", "/login", &["Content-Type: application/json"], &login).await;
    let cookie = format!("Cookie: {}", answer.header("set-cookie").unwrap().split(';').next().unwrap());
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is(200);
    std::fs::write(world.path("token"), "another-token").unwrap();
    let service = std::sync::Arc::clone(&world.service);
    let reload = move || {
        let live = service.generation();
        let access = Access::read(live.engine.config()).unwrap();
        service.reload(live.engine, live.tracker.unwrap(), access);
    };
    tokio::task::spawn_blocking(reload).await.unwrap();
    world.call("GET", "/cleanup/stats", &[&cookie], "").await.is_problem(401);
    world.call("GET", "/cleanup/stats", &[&format!("Authorization: Bearer {TOKEN}")], "").await.is_problem(401);
    world.call("GET", "/cleanup/stats", &["Authorization: Bearer another-token"], "").await.is(200);
}

#[test]
fn a_token_that_protects_nothing_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cleanup.toml");
    std::fs::write(&config, "[server]\ntoken_file = \"token\"").unwrap();
    let engine = Engine::open(Some(&config)).unwrap();
    let access = |text: &str, mode| {
        let token = folder.path().join("token");
        std::fs::write(&token, text).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
        Access::read(engine.config())
    };
    assert!(matches!(Access::read(engine.config()), Err(TokenError::Unreadable { .. })));
    assert!(matches!(access("", 0o600), Err(TokenError::Empty(_))));
    assert!(matches!(access(" \n", 0o600), Err(TokenError::Empty(_))));
    assert!(matches!(access("two words", 0o600), Err(TokenError::Unsendable(_))));
    assert!(matches!(access(&"x".repeat(5000), 0o600), Err(TokenError::Unsendable(_))));
    assert!(access("sixteen-letters-\n", 0o600).unwrap().warnings().is_empty());
    let readable = access("sixteen-letters-\n", 0o644).unwrap();
    assert!(matches!(readable.warnings(), [only] if only.contains("every user")), "{:?}", readable.warnings());
    for short in ["x", "fifteen-letters\n", " fifteen-letters \n"] {
        let warned = access(short, 0o600).unwrap();
        assert!(matches!(warned.warnings(), [only] if only.contains("16 characters")), "{:?}", warned.warnings());
        assert!(!warned.warnings()[0].contains(short.trim()), "what it is stays secret");
    }
    assert!(!format!("{:?}", access("secret\n", 0o600)).contains("secret"));
}

/// What proxies say of themselves, in any case, also with nothing in it.
const PASSED_ON: [&str; 10] = [
    "Forwarded: for=203.0.113.9",
    "forwarded:",
    "X-Forwarded-For: 203.0.113.9",
    "x-forwarded-for: 127.0.0.1",
    "X-FORWARDED-PROTO:",
    "X-Forwarded-Host: cleanup.example.org",
    "X-Forwarded-Anything: 1",
    "X-Real-IP: 127.0.0.1",
    "x-real-ip:",
    "Via: 1.1 proxy",
];

const READING: [&str; 7] =
    ["/", "/cleanup/stats", "/metrics", "/openapi.json", "/api/v1/files", "/api/v1/events", "/no/such/page"];

#[tokio::test]
async fn what_a_proxy_passes_on_comes_from_elsewhere() {
    for peer in [Peer::Loopback, Peer::Unix { uid: 1000 }] {
        let world = World::with_token(peer).await;
        world.get("/cleanup/stats").await.is(200);
        let right = format!("Authorization: Bearer {TOKEN}");
        for header in PASSED_ON {
            assert_eq!(world.call("GET", "/cleanup/stats", &[header], "").await.status, 401, "{header}");
            world.call("GET", "/cleanup/stats", &[header, &right], "").await.is(200);
            world.call("GET", "/healthz", &[header], "").await;
            let ready = world.call("GET", "/readyz", &[header], "").await;
            assert_eq!(ready.is(200), serde_json::json!({ "status": "ready" }), "{header}");
        }
        for path in READING {
            assert_eq!(world.call("GET", path, &["X-Forwarded-For: 127.0.0.1"], "").await.status, 401, "{path}");
            assert_eq!(world.call("HEAD", path, &["Via: 1.0 x"], "").await.status, 401, "{path}");
        }
        let old = format!("GET /cleanup/stats HTTP/1.0\r\nHost: {}\r\nX-Real-IP: 127.0.0.1\r\n\r\n", world.address);
        assert_eq!(world.raw(old).await.status, 401, "as nginx speaks by default");
        world.call("GET", "/cleanup/stats", &["X-Forward: 1", "X-Real: 1", "Forwarded-For: x"], "").await.is(200);
    }
}

#[tokio::test]
async fn what_a_proxy_passes_on_without_a_token_being_set_is_refused_and_says_what_to_do() {
    for peer in [Peer::Loopback, Peer::Unix { uid: 1000 }, Peer::Remote] {
        let world = World::with(Plan { peer, ..Plan::default() }).await;
        world.file("svgs/old.svg", 2 * HOUR);
        for header in PASSED_ON {
            let refused = world.call("GET", "/cleanup/stats", &[header], "").await.is_problem(403);
            assert_eq!(refused["type"], "/problems/passed-on", "{header}");
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains("token_file") && detail.contains("token_for = \"everything\""), "{detail}");
            world.call("POST", "/cleanup/manual", &[header], "").await.is_problem(403);
            world.call("POST", "/cleanup/manual", &[header, "Authorization: Bearer "], "").await.is_problem(403);
            assert_eq!(world.call("GET", "/healthz", &[header], "").await.body, "ok\n", "probes pass");
            world.call("GET", "/readyz", &[header], "").await.is(200);
        }
        for path in READING {
            world.call("GET", path, &["Forwarded:"], "").await.is_problem(403);
        }
        assert_eq!(world.count("svgs"), 1, "nothing was swept");
    }
}

#[tokio::test]
async fn a_token_for_everything_is_asked_of_every_call_but_the_probes() {
    let more = "[server]\ntoken_file = \"token\"\ntoken_for = \"everything\"".to_owned();
    for peer in [Peer::Loopback, Peer::Unix { uid: 1000 }, Peer::Remote] {
        let world = World::with(Plan { more: more.clone(), peer, ..Plan::default() }).await;
        let right = format!("Authorization: Bearer {TOKEN}");
        for path in READING {
            assert_eq!(world.get(path).await.status, 401, "{path}");
            assert_eq!(world.call("HEAD", path, &[], "").await.status, 401, "{path}");
            assert_eq!(world.call("GET", path, &["Authorization: Bearer wrong"], "").await.status, 401, "{path}");
        }
        world.call("POST", "/cleanup/manual", &[], "").await.is_problem(401);
        world.call("GET", "/cleanup/stats", &[&right], "").await.is(200);
        assert_eq!(world.call("GET", "/metrics", &[&right], "").await.status, 200);
        assert_eq!(world.get("/healthz").await.body, "ok\n");
        assert_eq!(world.get("/readyz").await.is(200), serde_json::json!({ "status": "ready" }), "yes or no");
        let told = world.call("GET", "/readyz", &[&right], "").await.is(200);
        assert!(told["warnings"].is_array(), "the token's file is readable: {told}");

        // A person gets the page that asks for it, and its style, and from there everywhere.
        let page = world.get("/runs").await;
        assert!(page.body.contains("type=\"password\"") && !page.body.contains("/api/v1"), "{page}");
        let style = page.body.split("href=\"").find(|part| part.starts_with("/assets/")).unwrap();
        assert_eq!(world.get(style.split('"').next().unwrap()).await.status, 200);
        let form = "Content-Type: application/x-www-form-urlencoded";
        let signed_in = world.call("POST", "/login", &[form], &format!("token={TOKEN}&next=/runs")).await;
        assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/runs")));
        let cookie = format!("Cookie: {}", signed_in.header("set-cookie").unwrap().split(';').next().unwrap());
        for path in ["/", "/runs", "/api/v1/files", "/metrics"] {
            assert_eq!(world.call("GET", path, &[&cookie], "").await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_token_for_everything_asks_nothing_where_there_is_no_token() {
    let more = "[server]\ntoken_for = \"everything\"".to_owned();
    let world = World::with(Plan { more, ..Plan::default() }).await;
    world.get("/cleanup/stats").await.is(200);
    world.call("POST", "/cleanup/manual", &[], "").await.is(200);
    world.call("GET", "/cleanup/stats", &["Via: 1.1 x"], "").await.is_problem(403);
}
