//! Rows of another program with text that is not UTF-8: they are shown repaired, and do not affect other rows.

use std::collections::BTreeSet;

use crate::harness::server::Server;

/// Players as SQL. Some have invalid bytes, which sort before, between and after the replacement character.
const PLAYERS: [&str; 6] =
    ["'a'", "unhex('61FF')", "unhex('6180')", "'a\u{fffd}'", r"unhex('275C09F09F')", "'z'"];

async fn insert(server: &Server) {
    for (at, player) in PLAYERS.iter().enumerate() {
        let sql = format!(
            "INSERT INTO hourly_aggregates VALUES (1571702400, {player}, 7, unhex('FE'), unhex('C0'), {}, 1, 0, 0, 0)",
            at + 1
        );
        server.clickhouse(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_text_that_is_not_utf8_is_shown_repaired_and_every_page_is_returned() {
    let server = Server::start(&[]).await;
    insert(&server).await;
    let page = server.get("/aggregates").await.ok();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), PLAYERS.len(), "{page:#}");
    assert!(items.iter().all(|item| item["game_name"] == "\u{fffd}" && item["provider"] == "\u{fffd}"));
    assert_eq!(items.iter().filter(|item| item["player_id"] == "a\u{fffd}").count(), 3, "{page:#}");
    assert_eq!(
        server.get("/aggregates/summary").await.ok()["players"],
        PLAYERS.len(),
        "each is a different player"
    );

    for sort in ["created_hour", "-created_hour", "player_id", "-player_id", "game_id"] {
        for format in ["", "&format=ndjson", "&format=csv"] {
            let mut seen = BTreeSet::new();
            let mut next = Some(format!("/aggregates?limit=1&sort={sort}{format}"));
            while let Some(path) = next {
                let answer = server.get(&path).await;
                assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
                next = answer.headers.get("link").map(|link| {
                    let link = link.to_str().unwrap();
                    link[1..link.find('>').unwrap()].to_owned()
                });
                let text = answer.body.to_string();
                assert!(seen.insert(text.clone()), "{path}: a page was returned twice: {text}");
                assert!(seen.len() <= PLAYERS.len(), "{path}: more pages than rows");
            }
            assert_eq!(seen.len(), PLAYERS.len(), "sort={sort}{format}: {seen:#?}");
        }
    }
    for format in ["arrow", "parquet"] {
        assert_eq!(server.get(&format!("/aggregates?format={format}")).await.status, 200);
    }
}
