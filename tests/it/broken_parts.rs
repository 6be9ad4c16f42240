//! Parts of tables that ClickHouse cannot read when it starts: they are reported, and their rows are restored.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::aggregates::by_hour;
use crate::harness::files::{HEADER, line, lines};
use crate::harness::process::until;
use crate::harness::server::Server;

const ROUNDS: &str =
    "SELECT count(), uniqExact(game_instance_id), toString(sum(real_amount_bet)) FROM game_rounds";

const NO_LOADER: [&str; 2] = ["--loader", "none"];

async fn upload(server: &Server, rows: &str) -> Value {
    let answer = server.upload(format!("{HEADER}\n{rows}"), "wait=visible&force=true").await.ok();
    assert_eq!(answer["state"], "visible", "{answer:#}");
    answer
}

/// Starts a server with some uploads. Each one leaves parts that are not merged.
async fn server_with_rows() -> Server {
    let server = Server::start(&[]).await;
    for table in ["game_rounds", "hourly_aggregates"] {
        server.clickhouse(format!("SYSTEM STOP MERGES {table}")).await;
    }
    upload(&server, &lines(0..400)).await;
    // Two conflicts, and duplicates.
    upload(&server, &[line(7, "9"), line(8, "0.5"), lines(300..1000)].concat()).await;
    server
}

/// Returns the directory of a table's first part.
pub async fn part(server: &Server, table: &str) -> PathBuf {
    let sql = "SELECT path FROM system.parts WHERE active AND database = 'game_data' AND table";
    let path = server.clickhouse(format!("{sql} = '{table}' ORDER BY name LIMIT 1")).await;
    assert!(!path.is_empty(), "{table} has no parts");
    path.into()
}

/// Stops the server and deletes a file from each of these parts, like a damaged disk. Also deletes the parts that they were merged or
/// mutated from, which ClickHouse keeps for some minutes and would read instead.
pub async fn damage(server: &mut Server, parts: &[PathBuf]) {
    assert!(server.stop().await.success());
    for part in parts {
        fs::remove_file(part.join("columns.txt")).unwrap();
        let (first, last) = blocks(part).unwrap();
        for other in fs::read_dir(part.parent().unwrap()).unwrap().map(|other| other.unwrap().path()) {
            let is_source = blocks(&other).is_some_and(|(from, to)| first <= from && to <= last);
            if is_source && other.file_name() != part.file_name() {
                fs::remove_dir_all(other).unwrap();
            }
        }
    }
}

/// Returns the block numbers of a part, `all_FIRST_LAST_LEVEL`.
fn blocks(part: &Path) -> Option<(u64, u64)> {
    let mut numbers = part.file_name()?.to_str()?.strip_prefix("all_")?.split('_');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

async fn hours_that_differ(server: &Server) -> String {
    let sql = include_str!("../../queries/bets/checks/hours_against_rounds.sql");
    server.clickhouse(format!("SELECT count() FROM ({sql})")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_lost_with_a_broken_part_are_reported_and_rebuilt_from_their_rounds() {
    let mut server = server_with_rows().await;
    let expected = by_hour(&server).await;
    let broken = part(&server, "hourly_aggregates").await;
    damage(&mut server, std::slice::from_ref(&broken)).await;

    // A server that does not load reports the lost part, and does not serve totals that are too small.
    server.restart_as(&NO_LOADER).await;
    let problem = server.get("/readyz").await.problem(503, "not_ready");
    let reason = problem["parts"]["tables"]["reason"].as_str().unwrap();
    let name = format!("broken-on-start_{}", broken.file_name().unwrap().to_str().unwrap());
    assert!(reason.contains(&name) && reason.contains("hourly_aggregates"), "{reason}");
    for path in ["/aggregates", "/aggregates/summary", "/aggregates?format=csv"] {
        server.get(path).await.problem(503, "aggregates_incomplete");
    }
    assert_eq!(server.metric("roundhouse_lost_parts").await, 1.0);
    assert_eq!(server.log().lines().filter(|line| line.contains(&name)).count(), 1, "logged once");

    server.restart_with(&[]).await;
    assert_eq!(by_hour(&server).await, expected);
    assert_eq!(hours_that_differ(&server).await, "0");
    assert_eq!(server.metric("roundhouse_lost_parts").await, 0.0);
    assert_eq!(
        server.clickhouse("SELECT count() FROM system.detached_parts").await,
        "1",
        "nothing is deleted"
    );

    // Restored parts are not reported again.
    server.restart_as(&NO_LOADER).await;
    server.until_ready().await;
    assert_eq!(by_hour(&server).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_lost_with_a_broken_part_are_restored_from_the_topic_and_count_once() {
    let mut server = server_with_rows().await;
    let (expected, rounds) = (by_hour(&server).await, server.clickhouse(ROUNDS).await);
    let stored = "SELECT * FROM game_rounds ORDER BY game_instance_id";
    let without_mark = stored.replace('*', "* EXCEPT recounted");
    let values = server.clickhouse(without_mark.as_str()).await;
    // A part of each table; some hours of the lost rounds still exist.
    let broken = [part(&server, "game_rounds").await, part(&server, "hourly_aggregates").await];
    damage(&mut server, &broken).await;
    server.restart_with(&[]).await;
    assert_eq!(server.clickhouse(ROUNDS).await, rounds);
    assert_eq!(server.clickhouse(without_mark.as_str()).await, values);
    assert_eq!(by_hour(&server).await, expected);
    assert_eq!(hours_that_differ(&server).await, "0");

    // The restored rounds are known: uploading them again counts nothing.
    let again = upload(&server, &lines(0..1000)).await;
    let upload = server.get(&format!("/uploads/{}", again["upload_id"].as_str().unwrap())).await.ok();
    assert_eq!(upload["new"], json!(0), "{upload:#}");
    assert_eq!(by_hour(&server).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_rounds_are_not_restored_if_others_were_deleted_on_purpose_and_an_upload_counts_them_once() {
    let mut server = server_with_rows().await;
    let expected = by_hour(&server).await;
    // One round was deleted on purpose.
    server.clickhouse("SYSTEM START MERGES game_rounds").await;
    server
        .clickhouse("ALTER TABLE game_rounds DELETE WHERE game_instance_id = 5 SETTINGS mutations_sync = 1")
        .await;
    server.clickhouse("SYSTEM STOP MERGES game_rounds").await;
    let broken = part(&server, "game_rounds").await;
    damage(&mut server, &[broken]).await;
    server.restart_as(&[]).await;
    let missing: u64 =
        1000 - server.clickhouse("SELECT count() FROM game_rounds").await.parse::<u64>().unwrap();
    assert!(missing > 1, "the part had rounds");
    let reason =
        server.get("/readyz").await.problem(503, "not_ready")["parts"]["tables"]["reason"].to_string();
    assert!(reason.contains(&format!("; missing: {missing} rounds")), "{reason}");
    server.get("/aggregates").await.problem(503, "aggregates_incomplete");
    until("the hours are the sums of the remaining rounds", async || {
        (hours_that_differ(&server).await == "0").then_some(())
    })
    .await;

    upload(&server, &lines(0..1000)).await;
    assert!(server.clickhouse(ROUNDS).await.starts_with("1000\t1000\t"));
    server.get("/aggregates").await.problem(503, "aggregates_incomplete");
    let name = server.clickhouse("SELECT name FROM system.detached_parts").await;
    let drop =
        format!("ALTER TABLE game_rounds DROP DETACHED PART '{name}' SETTINGS allow_drop_detached = 1");
    server.clickhouse(drop).await;
    server.until_ready().await;
    assert_eq!(by_hour(&server).await, expected);
    assert_eq!(hours_that_differ(&server).await, "0");
}
