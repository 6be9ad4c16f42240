//! The limit of loading: one INSERT of the same rows, in the Native format, into tables with the same orders, projections and view.

use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::machine::{Stopwatch, Usage};
use super::upload;
use crate::harness::server::Server;

const VIEW: &str = include_str!("../../queries/bets/tables/3_hourly_aggregates_view.sql");

/// Tables like those of the rounds and hours, under other names.
const TABLES: [(&str, &str); 2] = [("single_rounds", "game_rounds"), ("single_hours", "hourly_aggregates")];

/// Writes the rounds that were loaded last into a file, inserts them with one statement, and returns what that took.
pub async fn measure(server: &Server, directory: &Path, rows: u64) -> Usage {
    for (copy, original) in TABLES {
        server.clickhouse(format!("CREATE TABLE {copy} AS {original}")).await;
    }
    let view = VIEW.replace("hourly_aggregates_view TO hourly_aggregates", "single_view TO single_hours");
    server.clickhouse(view.replace("FROM game_rounds", "FROM single_rounds")).await;
    let file = last_rounds(server, directory, rows).await;
    let url = format!(
        "{}/?database=game_data&query=INSERT%20INTO%20single_rounds%20FORMAT%20Native",
        server.addresses.clickhouse_url
    );
    let stopwatch = Stopwatch::start(server);
    let answer = client().post(url).body(upload::body(&file)).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.expect("text"));
    let usage = stopwatch.read(server);
    let counted = server.clickhouse("SELECT sum(rounds_played) FROM single_hours").await;
    assert_eq!(counted, rows.to_string(), "every round is inserted once");
    for table in ["single_view", "single_rounds", "single_hours"] {
        server.clickhouse(format!("DROP TABLE {table} SYNC")).await;
    }
    usage
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

async fn last_rounds(server: &Server, directory: &Path, rows: u64) -> PathBuf {
    let path = directory.join("rounds.native");
    let sql = format!("SELECT * FROM game_rounds ORDER BY game_instance_id DESC LIMIT {rows} FORMAT Native");
    let url = format!("{}/?database=game_data", server.addresses.clickhouse_url);
    let answer = client().post(url).body(sql).send().await.expect("an answer");
    assert!(answer.status().is_success());
    let mut file = tokio::fs::File::create(&path).await.expect("a file");
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.expect("a piece")).await.expect("write the file");
    }
    file.flush().await.expect("write the file");
    path
}
