//! A topic that is not what it was when the server last ran: deleted and made anew, or with other partitions.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::Expected;
use crate::harness::files::{csv, generate};
use crate::harness::part::Part;
use crate::harness::process::until;
use crate::harness::server::Server;

const TOPIC: &str = "staging-bets";

/// Cuts lines out of a file.
fn cut(whole: &Path, lines: Range<usize>) -> PathBuf {
    let text = std::fs::read_to_string(whole).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().skip(lines.start).take(lines.len()).collect();
    let path = whole.with_extension(format!("{}.csv", lines.start));
    std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    path
}

/// Deletes the topic while the server does not run.
async fn delete_topic(server: &Server) {
    let directory = server.data_dir().join("broker");
    let mut broker =
        tokio::task::spawn_blocking(move || Part::start("broker", &directory, &[])).await.unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.address.to_string()).create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    let deleted = admin.delete_topics(&[TOPIC], &options).await.unwrap();
    assert_eq!(deleted, [Ok(TOPIC.to_owned())]);
    drop(admin);
    tokio::task::spawn_blocking(move || broker.stop()).await.unwrap();
}

async fn upload(server: &Server, file: &Path, query: &str) -> Value {
    server.upload(std::fs::read(file).unwrap(), query).await.ok()
}

/// Asserts that the rounds of these files are counted once, and that the topic was found to be another one so often.
async fn assert_stored(server: &Server, files: &[&Path], epochs: u32) {
    let expected = Expected::of(files);
    let sql = format!(
        "SELECT (SELECT count() FROM loader_topics WHERE topic = '{TOPIC}'), count(), uniqExact(game_instance_id) \
         FROM game_rounds"
    );
    assert_eq!(server.clickhouse(sql).await, format!("{epochs}\t{0}\t{0}", expected.rounds));
    assert_same(&by_hour(server).await, &expected.by_hour);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_loaded_anew_and_known_rounds_count_once() {
    let directory = TempDir::new().unwrap();
    let whole = generate(&directory.path().join("whole.csv"), &["--rows", "9000", "--encoding", "utf-8"]);
    let [first, second, third] = [0..4000, 2000..5000, 4500..9000].map(|lines| cut(&whole, lines));
    let mut server = Server::start(&[]).await;
    assert_eq!(upload(&server, &first, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first], 1).await;
    assert!(server.stop().await.success());

    // Shorter than it was: what was loaded last is not there.
    delete_topic(&server).await;
    server.restart().await;
    server.until_ready().await;
    assert_eq!(upload(&server, &second, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second], 2).await;
    assert!(server.stop().await.success());

    // Longer than it was: another message is where the one was that was loaded last.
    delete_topic(&server).await;
    server.restart_with(&["--loader", "none"]).await;
    upload(&server, &third, "").await;
    assert!(server.stop().await.success());
    server.restart_with(&[]).await;
    assert_eq!(upload(&server, &first, "force=true&wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second, &third], 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_is_refused_with_the_reason() {
    let mut server = Server::start(&[]).await;
    server.upload(csv(0..1000), "wait=visible").await.ok();
    // The embedded broker adds no partitions; that there were others before comes to the same.
    let had_three = format!("ALTER TABLE loader_topics UPDATE partitions = 3 WHERE topic = '{TOPIC}'");
    server.clickhouse(format!("{had_three} SETTINGS mutations_sync = 1")).await;
    assert!(server.stop().await.success());
    server.restart().await;
    let reason = until("/readyz tells why nothing is loaded", async || {
        let answer = server.get("/readyz").await;
        let reason =
            answer.body["parts"]["loader"]["reason"].as_str().filter(|reason| *reason != "starting")?;
        let reason = reason.to_owned();
        answer.problem(503, "not_ready");
        Some(reason)
    })
    .await;
    assert!(reason.contains("has 4 partitions and had 3") && reason.contains("--kafka-topic"), "{reason}");
    // Uploads are taken all the same, and wait in the topic.
    server.upload(csv(1000..1100), "").await.ok();
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "1000");
}
