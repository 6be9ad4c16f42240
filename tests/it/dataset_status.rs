//! `GET /datasets`, the checks of datasets, and `roundhouse check`.

use serde_json::{Value, json};

use crate::harness::command::{client, run};
use crate::harness::files::csv;
use crate::harness::process::until;
use crate::harness::server::Server;

/// Returns an item of a list by its name.
fn named<'a>(items: &'a Value, name: &str) -> &'a Value {
    let mut all = items.as_array().expect("a list").iter();
    all.find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {items:#}"))
}

async fn send(server: &Server, path: &str, body: &'static str) -> Value {
    server.send(|http| http.post(server.url(path)).body(body)).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dataset_says_what_it_is_and_how_many_rows_are_stored_missing_and_rejected() {
    let server = Server::start(&["--dataset", "bets", "--dataset", "prices"]).await;
    let receipt = server.upload(csv(0..10) + "16,x\n", "wait=visible").await.ok();
    let events = r#"[{ "base": "BTC", "quote": "USDT", "exchange": "binance", "price": "1.5", "base_volume_24h": "1",
        "quote_volume_24h": "1", "timestamp": "2026-11-28T08:00:00Z" }, { "base": "BTC" }]"#;
    let sent = send(&server, "/datasets/prices/events", events).await;
    assert_eq!((&sent["accepted"], &sent["rejected"]), (&json!(1), &json!(1)), "{sent}");
    // Events are loaded after the answer.
    let page = until("everything is loaded", async || {
        let page = server.get("/datasets").await.ok();
        let items = page["items"].as_array().expect("items").clone();
        let is_loaded = |item: &Value| {
            let is_counted = ["rows", "rows_last_minute"].iter().all(|name| item[*name].as_u64() > Some(0));
            item["lag"]["messages"] == 0 && is_counted && item["rejects"] != json!({})
        };
        items.iter().all(is_loaded).then_some(page)
    })
    .await;
    let (bets, prices) = (named(&page["items"], "bets"), named(&page["items"], "prices"));
    assert_eq!(bets["rejects"], receipt["rejects_by_code"], "{bets:#}");
    assert_eq!(prices["rejects"], json!({ "missing_value": 1 }), "{prices:#}");
    for (member, of_bets, of_prices) in [
        ("title", json!("Game rounds"), json!("Price events")),
        ("topic", json!("staging-bets"), json!("price-events")),
        ("dead_letter_topic", json!("staging-bets-dlq"), json!("price-events-dlq")),
        ("table", json!("game_rounds"), json!("prices")),
        ("key", json!(["game_instance_id"]), json!([])),
        ("rows", json!(10), json!(1)),
        ("rows_last_minute", json!(10), json!(1)),
        ("lag", json!({ "messages": 0, "seconds": 0.0 }), json!({ "messages": 0, "seconds": 0.0 })),
    ] {
        assert_eq!((&bets[member], &prices[member]), (&of_bets, &of_prices), "{member}");
    }
    assert!(named(&bets["tables"], "hourly_aggregates")["rows"].as_u64() > Some(0), "{bets:#}");
    assert_eq!(named(&bets["tables"], "conflicts")["rows"], 0, "{bets:#}");
    let bytes: u64 =
        bets["tables"].as_array().unwrap().iter().map(|table| table["bytes"].as_u64().unwrap()).sum();
    assert!(bytes > 0 && bets["bytes"] == bytes, "{bets:#}");
    assert_eq!(
        named(&prices["endpoints"], "ohlc")["paths"],
        json!(["/datasets/prices/ohlc", "/prices/ohlc"]),
        "{prices:#}"
    );
    let check = named(&bets["checks"], "duplicates");
    assert_eq!(
        (&check["expect"], &check["path"]),
        (&json!("no rows"), &json!("/datasets/bets/checks/duplicates"))
    );
    assert_eq!(named(&bets["checks"], "rows")["expect"], Value::Null);

    let shown = server.get("/datasets/prices").await.ok();
    assert_eq!((&shown["schema"]["name"], &shown["rows"]), (&json!("Price"), &json!(1)), "{shown:#}");
    assert_eq!(
        named(&shown["columns"], "base"),
        &json!({ "name": "base", "type": "String", "aliases": ["baseCurrency"], "is_in_files": true })
    );
    assert_eq!(named(&server.get("/datasets/bets").await.ok()["columns"], "line")["is_in_files"], false);
    let unknown = server.get("/datasets/nothing").await.problem(404, "no_such_dataset");
    assert!(unknown["detail"].as_str().unwrap().contains("nothing; it serves bets, prices"), "{unknown}");
    server.get("/datasets?limit=1").await.problem(400, "invalid_parameter");

    // A rejected row that was corrected is none any more.
    let fixed = format!(
        "{},reject_line\n{},12\n",
        crate::harness::files::HEADER,
        crate::harness::files::line(16, "1").trim_end()
    );
    let id = receipt["upload_id"].as_str().unwrap();
    let replay = server
        .send(|http| http.post(server.url(&format!("/uploads/{id}/replay?wait=visible"))).body(fixed))
        .await
        .ok();
    assert_eq!(replay["still_rejected"], 0, "{replay:#}");
    let bets = server.get("/datasets/bets").await.ok();
    assert_eq!((&bets["rejects"], &bets["rows"]), (&json!({}), &json!(11)), "{bets:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_passes_until_the_data_are_damaged() {
    let server = Server::start(&["--dataset", "bets", "--dataset", "prices", "--dataset", "steps"]).await;
    let check = async |arguments: &[&str]| run(client("check", &server.addresses.api, "", arguments)).await;
    for dataset in ["bets", "prices", "steps"] {
        let said = check(&[dataset]).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.stdout.contains(", 0 failed, "), "{said:?}");
    }
    server.upload(csv(0..10), "wait=visible").await.ok();
    let said = check(&["bets"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for line in [
        "passed   duplicates: Rounds that are stored more than once\n",
        "shown    rows: How much is stored: rounds, players, games, and the time range\n",
        "3 checks passed, 0 failed, 6 only show rows\n",
    ] {
        assert!(said.stdout.contains(line), "{line}: {said:?}");
    }
    let place = |text: &str| said.stdout.find(text).unwrap_or_else(|| panic!("{text}: {said:?}"));
    assert!(place("first_round") < place("last_round"), "{said:?}");

    // One round more in the sums of an hour, which is no round.
    let hour = "(created_hour, user_id, game_id, game_name, provider, rounds_played)";
    server
        .clickhouse(format!(
            "INSERT INTO hourly_aggregates {hour} VALUES ('2020-02-03 04:00:00', 'player-1', 7, 'Café 日本', 'x', 1)"
        ))
        .await;
    let said = check(&["bets", "--check", "hours_against_rounds", "--check", "duplicates"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for text in [
        "passed   duplicates",
        "failed   hours_against_rounds: Hours whose aggregates differ from their rounds; expected: no rows, found: 1 row\n",
        "│ 2020-02-03T04:00:00",
        "1 check passed, 1 failed\n",
    ] {
        assert!(said.stdout.contains(text), "{text}: {said:?}");
    }
    let said = check(&["bets", "--check", "sums", "--json"]).await;
    let answer: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!((said.code, &answer["check"]["passed"]), (Some(1), &json!(false)), "{answer:#}");
    assert_eq!(answer["check"]["columns"][0], "of");
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(2), "{answer:#}");

    let csv = server.get("/datasets/bets/checks/rows?format=csv").await;
    let csv = csv.ok();
    assert!(csv.as_str().unwrap().starts_with("\"rounds\",\"players\""), "{csv}");
    server.get("/datasets/bets/checks/no_such").await.problem(404, "no_such_path");
    server.get("/datasets/bets/checks/rows?rounds=1").await.problem(400, "invalid_parameter");
    let refused = server.send(|http| http.post(server.url("/datasets/bets/checks/rows"))).await;
    refused.problem(405, "method_not_allowed");
    for (arguments, message) in [
        (
            &["nothing"][..],
            "404 no_such_dataset: this server does not serve the dataset nothing; it serves bets",
        ),
        (
            &["bets", "--check", "no_such"],
            "--check no_such: the dataset has no such check; it has duplicates, ",
        ),
    ] {
        let said = check(arguments).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
        assert!(said.stderr.contains(message), "{said:?}");
    }
}
