//! `--loader clickhouse`: ClickHouse's own consumer on the same tables, at least once, and the change back to the other loader.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::conflicts::{earlier_schema, message, register};
use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::Expected;
use crate::harness::files::{HEADER, generate, line, lines};
use crate::harness::process::until;
use crate::harness::server::Server;

const CLICKHOUSE: [&str; 2] = ["--loader", "clickhouse"];

const ROUNDS: &str = "SELECT count(), uniqExact(game_instance_id) FROM game_rounds";

async fn upload(server: &Server, rows: &str) -> Value {
    let answer = server.upload(format!("{HEADER}\n{rows}"), "wait=visible&force=true").await.ok();
    assert_eq!(answer["state"], "visible", "{answer:#}");
    answer
}

/// Produces messages that do not come from an upload.
async fn produce(server: &Server, messages: impl IntoIterator<Item = (i64, Vec<u8>)>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &server.addresses.kafka_brokers)
        .set("partitioner", "murmur2")
        .create()
        .unwrap();
    for (id, payload) in messages {
        let key = id.to_string();
        let record = FutureRecord::to("staging-bets").key(&key).payload(&payload);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
}

/// Returns the number of tables and views of ClickHouse's consumer.
async fn consumers(server: &Server) -> String {
    server
        .clickhouse(
            "SELECT count() FROM system.tables WHERE name LIKE 'kafka\\_%' AND database = 'game_data'",
        )
        .await
}

async fn rounds_in_hours(server: &Server) -> u64 {
    by_hour(server).await.values().map(|hour| hour.rounds).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_consumes_the_topic_and_hands_it_back_without_counting_a_round_twice() {
    let directory = TempDir::new().unwrap();
    let file = generate(&directory.path().join("file.csv"), &["--rows", "20000", "--players", "20"]);
    let expected = Expected::of(&[&file]);
    let mut server = Server::start(&CLICKHOUSE).await;
    server.until_ready().await;
    assert_eq!(server.get("/readyz").await.ok()["loader"], "clickhouse");
    let receipt = server.upload(std::fs::read(&file).unwrap(), "wait=visible").await.ok();
    assert_eq!((&receipt["state"], &receipt["accepted"]), (&json!("visible"), &json!(20_000)));
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{0}\t{0}", expected.rounds));
    assert_same(&by_hour(&server).await, &expected.by_hour);
    let id = receipt["upload_id"].as_str().unwrap();
    let origins = "SELECT DISTINCT toString(upload_id), min(line), max(line), uniqExact(line) FROM game_rounds GROUP BY 1";
    assert_eq!(server.clickhouse(origins).await, format!("{id}\t2\t20001\t20000"));
    let counts = "SELECT sum(new), sum(duplicate), sum(conflict) FROM upload_counts FINAL";
    assert_eq!(server.clickhouse(counts).await, "20000\t0\t0");
    assert_eq!(server.reconcile(&file).await["verdict"], "match");

    // An invalid line, an invalid message, and one with an earlier schema.
    let bad = "2020-02-03 04:05:06,x,player,7,y,0,0,0,a,b";
    let receipt = upload(&server, &[lines(0..10), format!("{bad}\n")].concat()).await;
    let schema = earlier_schema();
    let schema_id = register(&server, &schema).await;
    let schema = apache_avro::Schema::parse(&schema).unwrap();
    let earlier = message(schema_id, &schema, 10, 25_000_000);
    produce(&server, [(10, earlier), (11, b"\0not Avro".to_vec()), (12, b"x".to_vec())]).await;
    let rejects =
        "SELECT code, codes, upload_id, line, byte_offset, raw, kafka_topic FROM rejects ORDER BY code, raw";
    let byte_offset = HEADER.len() + 1 + lines(0..10).len();
    let upload_id = receipt["upload_id"].as_str().unwrap();
    let codes = "['not_an_integer','not_a_decimal']";
    let reject = format!("not_an_integer\t{codes}\t{upload_id}\t12\t{byte_offset}\t{bad}");
    let expected_rejects = format!(
        "{reject}\tstaging-bets-dlq\n\
         undecodable_message\t['undecodable_message']\t\t0\t0\t\\0not Avro\tstaging-bets\n\
         undecodable_message\t['undecodable_message']\t\t0\t0\tx\tstaging-bets"
    );
    until("the rejects are stored", async || {
        let found = server.clickhouse(rejects).await;
        (found.lines().count() >= 3).then(|| assert_eq!(found, expected_rejects))
    })
    .await;
    upload(&server, &line(11, "1")).await;
    let foreign = "SELECT game_instance_id, real_amount_bet, created_timestamp, upload_id FROM game_rounds WHERE upload_id IS NULL";
    assert_eq!(server.clickhouse(foreign).await, "10\t0.25\t2020-02-03 04:05:06.000\t\\N");
    let all = expected.rounds + 12;
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{all}\t{all}"));
    assert_eq!(rounds_in_hours(&server).await, all);
    assert_eq!(consumers(&server).await, "10");

    // Handed back: the rounds that ClickHouse has stored are known, and the tables of its consumer are dropped.
    assert!(server.stop().await.success());
    server.restart_with(&[]).await;
    let receipt = upload(&server, &[lines(5..20), line(0, "9")].concat()).await;
    let upload_id = receipt["upload_id"].as_str().unwrap();
    let of_upload = format!("{counts} WHERE toString(upload_id) = '{upload_id}'");
    assert_eq!(server.clickhouse(of_upload).await, "8\t6\t2");
    assert_eq!(server.get("/readyz").await.ok()["loader"], "roundhouse");
    assert_eq!(consumers(&server).await, "0");
    let all = all + 8;
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{all}\t{all}"));
    assert_eq!(rounds_in_hours(&server).await, all);

    // Taken over again, also from a server without a loader whose upload waits in the topic.
    assert!(server.stop().await.success());
    server.restart_with(&["--loader", "none"]).await;
    server.upload(format!("{HEADER}\n{}", lines(100..200)), "").await.ok();
    server.restart_with(&CLICKHOUSE).await;
    upload(&server, &lines(200..300)).await;
    let all = all + 200;
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{all}\t{all}"));
    assert_eq!(rounds_in_hours(&server).await, all);
    let epochs = "SELECT loader FROM loader_topics WHERE topic = 'staging-bets' ORDER BY epoch";
    assert_eq!(server.clickhouse(epochs).await, "roundhouse\nclickhouse\nroundhouse\nclickhouse");

    // After a restart with the same options, the epoch continues.
    server.restart().await;
    server.until_ready().await;
    upload(&server, &lines(300..310)).await;
    let all = all + 10;
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{all}\t{all}"));
    assert_eq!(server.clickhouse(epochs).await.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_loses_no_round_when_it_is_killed_and_rounds_stored_twice_are_found() {
    let directory = TempDir::new().unwrap();
    let file = generate(&directory.path().join("file.csv"), &["--rows", "300000", "--players", "20"]);
    let expected = Expected::of(&[&file]);
    let mut server = Server::start(&CLICKHOUSE).await;
    server.until_ready().await;
    server.upload(std::fs::read(&file).unwrap(), "").await.ok();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill_part("clickhouse").await;
        server.until_ready().await;
    }
    upload(&server, &line(1, "0.25")).await;
    // This round is stored. Others, in other partitions, may still be missing, because the group waits for consumers that were killed.
    let every = (expected.rounds + 1).to_string();
    let all = until("every round is stored and recorded as loaded", async || {
        let metrics = server.get("/metrics").await.body;
        if !metrics.as_str()?.contains("\nroundhouse_visible_lag_offsets 0\n") {
            return None;
        }
        let stored = server.clickhouse(ROUNDS).await;
        stored.split_once('\t').filter(|(_, different)| *different == every).map(|(all, _)| all.to_owned())
    })
    .await;
    // At least once: no round and no hour lacks anything. What is there twice is found: by its id, or in its hour.
    let hours = by_hour(&server).await;
    for (hour, expected) in &expected.by_hour {
        let stored = hours.get(hour).map_or(0, |stored| stored.rounds);
        assert!(stored >= expected.rounds, "{hour:?}: {stored} of {} rounds", expected.rounds);
    }
    let in_hours: u64 = hours.values().map(|hour| hour.rounds).sum();
    eprintln!("kafka_engine: {all} rounds stored, {every} different, {in_hours} in hours");
    let stored: u64 = all.parse().unwrap();
    assert!(stored > expected.rounds && in_hours > expected.rounds, "{stored} stored, {in_hours} in hours");
    let report = server.reconcile(&file).await;
    // A round that is stored twice with the same values, and counted once, is no difference between the file and the tables.
    let is_match = in_hours == expected.rounds + 1;
    assert_eq!(report["verdict"] == "match", is_match, "{all} stored, {in_hours} in hours: {report:#}");

    // Roundhouse's loader continues with the stored rounds and adds none of them again.
    server.restart_with(&[]).await;
    let receipt = server.upload(std::fs::read(&file).unwrap(), "wait=visible&force=true").await.ok();
    let upload_id = receipt["upload_id"].as_str().unwrap();
    until("the upload is visible", async || {
        (server.get(&format!("/uploads/{upload_id}")).await.ok()["state"] == "visible").then_some(())
    })
    .await;
    let counts = format!(
        "SELECT sum(new), sum(duplicate), sum(conflict) FROM upload_counts FINAL WHERE toString(upload_id) = '{upload_id}'"
    );
    assert_eq!(server.clickhouse(counts).await, "0\t300000\t0");
    assert_eq!(server.clickhouse(ROUNDS).await, format!("{all}\t{}", expected.rounds + 1));
}
