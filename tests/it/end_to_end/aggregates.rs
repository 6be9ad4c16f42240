//! `GET /aggregates`: what it refuses, and its pages.

use std::collections::HashSet;

use crate::harness::aggregates::key;
use crate::harness::files::csv;
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_named_and_pages_do_not_overlap() {
    let server = Server::start(&[]).await;
    for (query, parameter) in [
        ("player=x", "player"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=6", "limit"),
        ("skip=-1", "skip"),
        ("game_id=x", "game_id"),
        ("player_id=", "player_id"),
        ("date_from=yesterday", "date_from"),
        ("date_from=2019-02-30", "date_from"),
        ("date_to=2019-13-01T00:00:00Z", "date_to"),
        ("date_from=2019-10-23&date_to=2019-10-22", "date_to"),
        ("sort=net", "sort"),
        ("sort=created_hour&sort=-created_hour", "sort"),
    ] {
        let problem = server.get(&format!("/aggregates?{query}")).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{query}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{problem:#}");
        assert_eq!(problem["instance"], "/aggregates");
    }
    server.get("/nothing").await.problem(404, "no_such_path");
    server.send(|http| http.delete(server.url("/aggregates"))).await.problem(405, "method_not_allowed");

    server.upload(csv(0..9000), "wait=visible").await.ok();
    let page = |skip: usize| {
        let path = format!("/aggregates/?limit=2&skip={skip}");
        let server = &server;
        async move { server.get(&path).await.ok()["items"].as_array().unwrap().clone() }
    };
    // Three players in one hour and one game.
    let (first, second) = (page(0).await, page(2).await);
    assert_eq!((first.len(), second.len()), (2, 1));
    let keys: HashSet<_> = first.iter().chain(&second).map(key).collect();
    assert_eq!(keys.len(), 3, "pages overlap");
    assert!(page(3).await.is_empty());
}
