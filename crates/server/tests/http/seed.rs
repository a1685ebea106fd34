//! The two calls of the first clients. That their answers never change is tested in `tests/program/frozen.rs`.

use crate::world::{HOUR, Plan, World};

#[tokio::test]
async fn both_calls_have_the_form_that_their_clients_know() {
    let files = vec![("models/old.step", HOUR), ("models/new.step", HOUR / 60), ("models/other.txt", HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    let stats = world.get("/cleanup/stats").await;
    stats.is(200);
    insta::assert_snapshot!("stats", stats.body);
    assert_eq!(stats.header("content-type"), Some("application/json"));

    let manual = world.call("POST", "/cleanup/manual", &[], "").await;
    manual.is(200);
    insta::assert_snapshot!("manual", manual.body);
    assert_eq!(world.count("models"), 2);
    assert_eq!(world.get("/cleanup/stats").await.is(200)["cleanup_stats"]["total_files"], 1);
}

#[tokio::test]
async fn a_dry_run_and_another_policy_leave_the_rest_alone() {
    let files = vec![("models/old.step", HOUR), ("svgs/old.svg", 2 * HOUR)];
    let world = World::with(Plan { files, ..Plan::default() }).await;
    world.call("POST", "/cleanup/manual?dry_run=true", &[], "").await.is(200);
    assert_eq!((world.count("models"), world.count("svgs")), (1, 1));
    world.call("POST", "/cleanup/manual?policy=svgs", &[], "").await.is(200);
    assert_eq!((world.count("models"), world.count("svgs")), (1, 0));
    world.call("POST", "/cleanup/manual?policy=svg", &[], "").await.is_problem(404);
    world.call("POST", "/cleanup/manual?dry_rum=true", &[], "").await.is_problem(422);
}

#[tokio::test]
async fn the_interval_is_whole_minutes_where_it_can_be() {
    let more = "[files.short]\nroot = \"short\"\ninclude = [\"*\"]\nmax_age = \"90s\"\ntrack = true\n\
                [server]\nstats_policy = \"short\"";
    let world = World::with(Plan { more: more.to_owned(), ..Plan::default() }).await;
    let stats = world.get("/cleanup/stats").await.is(200);
    assert_eq!(stats["cleanup_stats"]["cleanup_interval_minutes"], 1.5);
}

#[tokio::test]
async fn before_the_first_look_there_are_no_numbers_to_give() {
    let world = World::with(Plan { starts: false, ..Plan::default() }).await;
    let answer = world.get("/cleanup/stats").await;
    insta::assert_json_snapshot!(answer.is_problem(503));
    assert_eq!(answer.header("retry-after"), Some("1"));
}
