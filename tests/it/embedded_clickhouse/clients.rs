//! Clients of other projects.

use std::process::Command;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::ClickHouse;
use crate::harness::installed;

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct Round {
    id: u64,
    player: String,
    bet: Option<i64>,
    tags: Vec<u16>,
}

fn round(id: u64) -> Round {
    let bet = id.is_multiple_of(3).then_some(-(id as i64));
    Round { id, player: format!("Spieler {} ü", id % 1000), bet, tags: vec![1; (id % 3) as usize] }
}

#[tokio::test]
async fn the_rust_client_works() {
    let clickhouse = ClickHouse::start();
    let client = Client::default().with_url(clickhouse.part.url());
    client.query("CREATE DATABASE game").execute().await.unwrap();
    let client = client.with_database("game");
    client
        .query(
            "CREATE TABLE rounds (id UInt64, player String, bet Nullable(Int64), tags Array(UInt16)) \
             ENGINE = MergeTree ORDER BY id",
        )
        .execute()
        .await
        .unwrap();

    let mut insert = client.insert::<Round>("rounds").await.unwrap();
    for id in 0..100_000 {
        insert.write(&round(id)).await.unwrap();
    }
    insert.end().await.unwrap();
    assert_eq!(client.query("SELECT count() FROM rounds").fetch_one::<u64>().await.unwrap(), 100_000);
    let some = client.query("SELECT ?fields FROM rounds WHERE id IN ? ORDER BY id").bind([3, 77_777]);
    assert_eq!(some.fetch_all::<Round>().await.unwrap(), [round(3), round(77_777)]);

    let mut cursor = client
        .query("SELECT number, toString(number) FROM numbers(1000000)")
        .fetch::<(u64, String)>()
        .unwrap();
    let mut expected = 0;
    while let Some((number, text)) = cursor.next().await.unwrap() {
        assert_eq!((number, text.parse()), (expected, Ok(expected)));
        expected += 1;
    }
    assert_eq!(expected, 1_000_000);

    let awkward = "it's \\ a\ttab\nand 'quotes'";
    let server_side = client.query("SELECT {text:String}, {n:UInt64}").param("text", awkward).param("n", 42);
    assert_eq!(server_side.fetch_one::<(String, u64)>().await.unwrap(), (awkward.to_owned(), 42));
    assert_eq!(client.query("SELECT ?").bind(awkward).fetch_one::<String>().await.unwrap(), awkward);

    let with_setting = client.clone().with_setting("max_threads", "3");
    let seen =
        with_setting.query("SELECT toUInt64(getSetting('max_threads'))").fetch_one::<u64>().await.unwrap();
    assert_eq!(seen, 3);

    let error = client.query("SELECT 1 FROM nowhere").fetch_one::<u8>().await.unwrap_err().to_string();
    assert!(error.contains("Code: 60.") && error.contains("UNKNOWN_TABLE"), "{error}");
    let error = client.insert::<Round>("nowhere").await.err().expect("no such table").to_string();
    assert!(error.contains("Code: 60."), "{error}");
    for client in [client.clone(), client.with_compression(clickhouse::Compression::None)] {
        // The client finds the text of an exception only if one read of the connection returns all of it, which depends on the scheduler.
        let mut shown = false;
        for _ in 0..20 {
            let error = late_exception(&client).await;
            shown = error.contains("too late");
            if shown {
                break;
            }
            assert!(error.contains("network error"), "{error}");
        }
        assert!(shown, "the client never showed the exception");
    }
}

/// The error of a statement that fails after it has sent rows.
async fn late_exception(client: &clickhouse::Client) -> String {
    let late = "SELECT throwIf(number = 9000000, 'too late') FROM numbers(20000000)";
    let mut cursor = client.query(late).fetch::<u8>().unwrap();
    let mut rows = 0;
    loop {
        match cursor.next().await {
            Ok(Some(_)) => rows += 1,
            Ok(None) => panic!("a short success"),
            Err(error) => {
                assert!(rows > 0, "the exception came before the rows: {error}");
                return error.to_string();
            }
        }
    }
}

fn run(mut command: Command) {
    let output = command.output().expect("run the client");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout == "ok\n", "{stdout}{stderr}");
}

#[test]
fn clickhouse_connect_works() {
    let python = installed(".venv/bin/python");
    let clickhouse = ClickHouse::start();
    let mut command = Command::new(python);
    command.arg(installed("clickhouse_connect_client.py"));
    command.args(["127.0.0.1", &clickhouse.part.address.port().to_string(), "python"]);
    run(command);
}

#[test]
fn clickhouse_js_works() {
    installed("node_modules/@clickhouse/client");
    let clickhouse = ClickHouse::start();
    let mut command = Command::new("node");
    command.arg(installed("clickhouse_client.mjs")).args([&clickhouse.part.url(), "node"]);
    run(command);
}
