//! Names, origins, methods: what is turned away before anything is done.

use crate::world::{HOUR, Plan, World};

#[tokio::test]
async fn only_our_own_names_lead_here() {
    let world = World::with(Plan { more: "[server]\nhosts = [\"Box.example\"]".to_owned(), ..Plan::default() }).await;
    for host in ["localhost", "LOCALHOST:8000", "127.0.0.1", "10.1.2.3:80", "[::1]:8000", "[fe80::1]", "box.example:1"]
    {
        world.call("GET", "/cleanup/stats", &[&format!("Host: {host}")], "").await.is(200);
    }
    for host in [
        "127.0.0.1.evil.example",
        "evil.example",
        "localhost.evil.example",
        "0x7f000001",
        "2130706433",
        "127.1",
        "box.example.evil",
        "xbox.example",
    ] {
        for target in ["/cleanup/stats", "/no/such/page"] {
            let answer = world.call("GET", target, &[&format!("Host: {host}")], "").await;
            assert_eq!(answer.is_problem(421)["type"], "/problems/wrong-host", "{host}");
        }
    }
    insta::assert_json_snapshot!(world.call("GET", "/", &["Host: evil.example"], "").await.is_problem(421));
    for host in ["", "localhost:x", "user@localhost", "localhost/", "a b", "localhost:80:80", "::1"] {
        let answer = world.call("GET", "/cleanup/stats", &[&format!("Host: {host}")], "").await;
        assert!(matches!(answer.status, 400 | 421), "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_call_names_us_once() {
    let world = World::new().await;
    let twice = world.call("GET", "/cleanup/stats", &["Host: localhost", "Host: localhost"], "").await;
    insta::assert_json_snapshot!("two_hosts", twice.is_problem(400));
    let none = world.raw("GET /cleanup/stats HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    insta::assert_json_snapshot!("no_host", none.is_problem(400));
    world.raw("GET /cleanup/stats HTTP/1.0\r\n\r\n").await.is_problem(400);
    world.call("GET", "http://localhost/cleanup/stats", &["Host: localhost"], "").await.is(200);
    world.call("GET", "http://evil.example/cleanup/stats", &["Host: localhost"], "").await.is_problem(400);
    world.call("GET", "http://localhost/cleanup/stats", &["Host: evil.example"], "").await.is_problem(400);
    world.call("GET", "http://evil.example/cleanup/stats", &["Host: evil.example"], "").await.is_problem(421);
}

#[tokio::test]
async fn probes_need_no_host() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz"] {
        for call in ["HTTP/1.0\r\n\r\n", "HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"] {
            assert_eq!(world.raw(format!("GET {path} {call}")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn no_other_site_changes_anything() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    for header in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost:3000",
        "Origin: file://",
        "Origin: ",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: nonsense",
    ] {
        let answer = world.call("POST", "/cleanup/manual", &[header], "").await;
        assert_eq!(answer.is_problem(403)["type"], "/problems/cross-site", "{header}");
    }
    assert_eq!(world.count("models"), 1);
    let own = format!("Origin: http://{}", world.address);
    let evil = ["Origin: http://evil.example", &own];
    world.call("POST", "/cleanup/manual", &evil, "").await.is_problem(403);
    // Reading is harmless: the answer stays with us without a word that allows more.
    world.call("GET", "/cleanup/stats", &["Origin: http://evil.example"], "").await.is(200);
    world.call("OPTIONS", "/cleanup/manual", &["Origin: http://evil.example"], "").await.is_problem(405);
    world.call("POST", "/cleanup/manual", &[&own, "Sec-Fetch-Site: same-origin"], "").await.is(200);
    world.call("POST", "/cleanup/manual", &["Sec-Fetch-Site: none"], "").await.is(200);
}

#[tokio::test]
async fn only_the_right_method_deletes() {
    let world = World::with(Plan { files: vec![("models/old.step", HOUR)], ..Plan::default() }).await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = world.call(method, "/cleanup/manual", &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method} {answer}");
        if method != "HEAD" {
            answer.is_problem(405);
        }
    }
    for header in ["X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"] {
        world.call("GET", "/cleanup/manual", &[header], "").await.is_problem(405);
    }
    world.call("GET", "/cleanup/manual?_method=POST", &[], "").await.is_problem(405);
    let overridden = ["X-HTTP-Method-Override: DELETE", "Content-Type: application/json"];
    let answer = world.call("POST", "/api/v1/files/x", &overridden, "{}").await;
    insta::assert_json_snapshot!(answer.is_problem(405));
    assert_eq!(world.count("models"), 1);
}

#[tokio::test]
async fn unknown_pages_are_problems_too() {
    let world = World::new().await;
    insta::assert_json_snapshot!(world.get("/api/v2/policies").await.is_problem(404));
    world.get("/cleanup/stats/").await.is_problem(404);
    world.get("//cleanup/stats").await.is_problem(404);
    world.get("/..%2f..%2fetc/passwd").await.is_problem(404);
    world.get("/api/v1/runs/%ff").await.is_problem(400);
}
