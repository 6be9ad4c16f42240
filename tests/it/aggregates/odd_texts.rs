//! `GET /aggregates` and lists with texts that clients tend to change: byte order marks, blanks, formulas.

use serde_json::json;

use crate::harness::files::{HEADER, line};
use crate::harness::server::Server;

/// Each is the id of another player.
const PLAYERS: [&str; 4] = ["player", "\u{feff}player", "player\u{feff}", " player"];

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_exactly_the_player_that_it_names() {
    let server = Server::start(&[]).await;
    let lines =
        (1..).zip(PLAYERS).map(|(id, player)| line(id, "1").replace(&format!("player-{}", id % 3), player));
    let text = format!("{HEADER}\n{}", lines.collect::<String>());
    let receipt = server.upload(text, "wait=visible&name=%EF%BB%BFrounds.csv").await.ok();
    assert_eq!(
        (&receipt["new"], receipt["file_name"].as_str()),
        (&json!(4), Some("\u{feff}rounds.csv")),
        "{receipt:#}"
    );
    for player in PLAYERS {
        let filter: String = url::form_urlencoded::byte_serialize(player.as_bytes()).collect();
        for more in ["", "&player_id=another"] {
            let page = server.get(&format!("/aggregates?player_id={filter}{more}")).await.ok();
            let found: Vec<&str> = page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["player_id"].as_str().unwrap())
                .collect();
            assert_eq!(found, [player], "{page:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn formulas_are_escaped_in_every_csv_on_request_and_only_there() {
    let server = Server::start(&[]).await;
    let file = |bet: &str| {
        let lines =
            [line(1, bet).replace("Café 日本", "=1+1"), line(2, bet).replace("Play'n GO", "＝HYPERLINK()")];
        format!("{HEADER}\n{}", lines.concat())
    };
    server.upload(file("1"), "wait=visible").await.ok();
    let other = server.upload(file("2"), "wait=visible").await.ok();
    assert_eq!(other["conflict"], 2, "{other:#}");
    let conflicts = format!("/uploads/{}/conflicts", other["upload_id"].as_str().unwrap());
    for path in ["/aggregates", &conflicts] {
        let text = async |query: &str| {
            let answer = server.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 200, "{:#}", answer.body);
            answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned)
        };
        let escaped = text("format=csv&escape_formulas=true").await;
        for formula in ["=1+1", "＝HYPERLINK()"] {
            assert!(escaped.contains(&format!("\"'{formula}\"")), "{path}: {escaped}");
            assert!(!escaped.contains(&format!("\"{formula}\"")), "{path}: {escaped}");
        }
        assert!(!escaped.contains("'player-1"), "{escaped}");
        for query in ["format=csv", "format=ndjson&escape_formulas=true"] {
            let plain = text(query).await;
            assert!(
                plain.contains("=1+1") && !plain.contains("'=1+1") && !plain.contains("'＝"),
                "{path}?{query}: {plain}"
            );
        }
    }
}
