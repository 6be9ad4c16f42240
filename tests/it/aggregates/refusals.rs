//! `GET /aggregates`: invalid requests, and paging.

use std::collections::HashSet;

use crate::harness::aggregates::key;
use crate::harness::files::csv;
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_parameter_is_named_and_pages_do_not_overlap() {
    let server = Server::start(&[]).await;
    for (query, parameter) in [
        ("player=x", "player"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=6", "limit"),
        ("skip=-1", "skip"),
        ("skip=1000001", "skip"),
        ("skip=18446744073709551616", "skip"),
        ("limit=99999999999999999999999999", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00%FF", "cursor"),
        ("cursor=AAAA&skip=1", "skip"),
        ("game_id=-1", "game_id"),
        ("game_id=18446744073709551616", "game_id"),
        ("game_id=1%20OR%201%3D1", "game_id"),
        ("game_id=1)%20UNION%20ALL%20SELECT%201%20--", "game_id"),
        ("date_from=0000-01-01", "date_from"),
        ("date_from=9999-12-31", "date_from"),
        ("date_to=9999-12-31T23:59:59Z", "date_to"),
        ("date_from=1969-12-31", "date_from"),
        ("sort=created_hour;DROP%20TABLE%20game_rounds", "sort"),
        ("format=html", "format"),
        ("game_id=x", "game_id"),
        ("player_id=", "player_id"),
        ("date_from=yesterday", "date_from"),
        ("date_from=2019-02-30", "date_from"),
        ("date_to=2019-13-01T00:00:00Z", "date_to"),
        ("date_from=2019-10-23&date_to=2019-10-22", "date_to"),
        ("sort=net", "sort"),
        ("sort=created_hour&sort=-created_hour", "sort"),
        ("limit=1&player_id=%ff%fe", "player_id"),
        ("=1", "without a name"),
    ] {
        let problem = server.get(&format!("/aggregates?{query}")).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{query}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{problem:#}");
        assert_eq!(problem["instance"], "/aggregates");
    }
    for (query, parameter) in [
        (format!("player_id={}", "x".repeat(129)), "player_id"),
        (format!("limit=1&{}", "player_id=x&".repeat(101)), "player_id"),
        (format!("limit=1&{}", "game_id=1&".repeat(101)), "game_id"),
        (format!("limit=1&player_id={}", "x".repeat(20_000)), "player_id"),
        (format!("limit=1&{}=1", "y".repeat(20_000)), &"y".repeat(100)),
    ] {
        for path in ["/aggregates", "/aggregates/summary"] {
            let problem = server.get(&format!("{path}?{query}")).await.problem(400, "invalid_parameter");
            let named = problem["parameter"].as_str().unwrap();
            // The summary has no limit.
            assert!(named == parameter || path.ends_with("summary") && named == "limit", "{problem:#}");
        }
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

    // A cursor is valid only with the same filters and order. Another limit is allowed.
    let cursor = server.get("/aggregates?limit=1&sort=player_id").await.ok()["page"]["next_cursor"].clone();
    let cursor = cursor.as_str().unwrap();
    server.get(&format!("/aggregates?limit=2&sort=player_id&cursor={cursor}")).await.ok();
    for query in ["", "sort=-player_id&", "sort=player_id&game_id=7&", "sort=player_id&date_from=2019-01-01&"]
    {
        let path = format!("/aggregates?{query}cursor={cursor}");
        let problem = server.get(&path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "cursor", "{problem:#}");
    }
    // Values never become part of a statement.
    for hostile in
        ["' OR 1=1 --", "\\'", "x'); DROP TABLE game_rounds; --", "{players:String}", "\u{0}", "%", "\n\t\r"]
    {
        let path: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        for sort in ["created_hour", "-player_id"] {
            let page = server.get(&format!("/aggregates?player_id={path}&sort={sort}")).await.ok();
            assert_eq!(page["items"].as_array().unwrap().len(), 0, "{hostile:?}");
            let several = format!("/aggregates?player_id={path}&player_id=nobody&sort={sort}");
            assert_eq!(server.get(&several).await.ok()["items"].as_array().unwrap().len(), 0, "{hostile:?}");
        }
    }
}
