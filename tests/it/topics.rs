//! Topics that change: recreated, with more partitions, or with messages that are deleted or unreadable.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, Timestamp, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::conflicts::{earlier_schema, message, register};
use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::Expected;
use crate::harness::files::generate;
use crate::harness::part::Part;
use crate::harness::process::{PATIENCE, signal, until};
use crate::harness::server::Server;
use crate::harness::services::Services;
use crate::harness::topic::reader;

const TOPIC: &str = "staging-bets";

/// Generates a file that ends with the last of these ranges of lines. Returns a file for each range.
fn files<const N: usize>(lines: [Range<usize>; N]) -> (TempDir, [PathBuf; N]) {
    let directory = TempDir::new().unwrap();
    let rows = lines.last().unwrap().end.to_string();
    let whole = generate(&directory.path().join("whole.csv"), &["--rows", &rows, "--encoding", "utf-8"]);
    (directory, lines.map(|lines| cut(&whole, lines)))
}

/// Cuts lines out of a file.
fn cut(whole: &Path, lines: Range<usize>) -> PathBuf {
    let text = std::fs::read_to_string(whole).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().skip(lines.start).take(lines.len()).collect();
    let path = whole.with_extension(format!("{}.csv", lines.start));
    std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    path
}

/// Deletes the topic while the server is stopped.
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

/// Asserts that the rounds of these files are counted once, and that the topic was found to be recreated this many times.
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
async fn a_recreated_topic_is_loaded_from_the_start_and_known_rounds_count_once() {
    let (_directory, [first, second, third]) = files([0..4000, 2000..5000, 4500..9000]);
    let mut server = Server::start(&[]).await;
    assert_eq!(upload(&server, &first, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first], 1).await;
    assert!(server.stop().await.success());

    // Shorter than before: the last loaded offset does not exist.
    delete_topic(&server).await;
    server.restart().await;
    server.until_ready().await;
    assert_eq!(upload(&server, &second, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second], 2).await;
    assert!(server.stop().await.success());

    // Longer than before: the last loaded offset has another message.
    delete_topic(&server).await;
    server.restart_with(&["--loader", "none"]).await;
    upload(&server, &third, "").await;
    assert!(server.stop().await.success());
    server.restart_with(&[]).await;
    assert_eq!(upload(&server, &first, "force=true&wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second, &third], 3).await;
}

/// Returns a client that changes topics.
fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

fn patient() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(Duration::from_secs(30)))
}

/// Deletes the topic and creates it with this many partitions.
async fn recreate(brokers: &str, partitions: i32) {
    let admin = admin(brokers);
    assert_eq!(admin.delete_topics(&[TOPIC], &patient()).await.unwrap(), [Ok(TOPIC.to_owned())]);
    let new = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1));
    assert_eq!(admin.create_topics([&new], &patient()).await.unwrap(), [Ok(TOPIC.to_owned())]);
}

/// Deletes the messages before these offsets.
async fn delete_messages(brokers: &str, before: &[(i32, i64)]) {
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in before {
        offsets.add_partition_offset(TOPIC, *partition, Offset::Offset(*offset)).unwrap();
    }
    admin(brokers).delete_records(&offsets, &patient()).await.unwrap();
}

/// Reads all messages of some partitions, ordered by offset. Blocks.
fn messages(brokers: &str, partitions: i32) -> Vec<OwnedMessage> {
    let consumer = reader(brokers);
    let mut found = Vec::new();
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, PATIENCE).unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(TOPIC, partition, Offset::Offset(low)).unwrap();
        consumer.assign(&assignment).unwrap();
        for _ in low..high {
            found.push(consumer.poll(PATIENCE).expect("a message in time").unwrap().detach());
        }
    }
    found
}

/// Produces unchanged messages, each to the partition that `to` returns.
async fn produce(brokers: &str, messages: &[OwnedMessage], to: impl Fn(usize, &OwnedMessage) -> i32) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    let deliveries = messages.iter().enumerate().map(|(at, message)| {
        let record = FutureRecord::to(TOPIC)
            .partition(to(at, message))
            .timestamp(message.timestamp().to_millis().unwrap())
            .key(message.key().unwrap())
            .payload(message.payload().unwrap());
        producer.send_result(record).map_err(|(error, _)| error).unwrap()
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        delivery.await.unwrap().unwrap();
    }
}

/// Waits until this many messages are loaded.
async fn until_loaded(server: &Server, messages: usize) {
    let loaded =
        format!("SELECT sum(messages) FROM loader_chunks WHERE topic = '{TOPIC}' AND state = 'done'");
    until(&format!("{messages} messages are loaded"), async || {
        (server.clickhouse(&loaded).await == messages.to_string()).then_some(())
    })
    .await;
}

/// Leaves a file acknowledged but not loaded: loads the first file, restarts the server with these options and without its loader, and
/// uploads the second file. Returns its receipt.
async fn leave_unloaded(server: &mut Server, options: &[&str], first: &Path, second: &Path) -> Value {
    assert_eq!(upload(server, first, "wait=visible").await["state"], "visible");
    server.restart_with(&[options, &["--loader", "none"]].concat()).await;
    upload(server, second, "").await
}

/// Uploads a file until it returns 200. Returns the answer.
async fn upload_at_last(server: &Server, file: &Path, query: &str) -> Value {
    until("the file is acknowledged", async || {
        let answer = server.upload(std::fs::read(file).unwrap(), query).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await
}

/// Waits until an upload has failed because of lost rows. Returns the reason.
async fn until_lost(server: &Server, upload: &Value) -> String {
    let path = format!("/uploads/{}", upload["upload_id"].as_str().unwrap());
    until("the upload has lost rows", async || {
        let upload = server.get(&path).await.ok();
        let failure = &upload["failure"];
        assert!(upload["state"] != "visible", "{upload:#}");
        (upload["state"] == "failed" && failure["code"] == "rows_lost")
            .then(|| failure["reason"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_to_a_topic_in_use_are_loaded_and_each_round_counts_once() {
    let (_directory, [first, second]) = files([0..5000, 5000..8000]);
    let services = Services::start().await;
    let server = services.server(&[]).await;
    assert_eq!(upload(&server, &first, "wait=visible").await["state"], "visible");

    // The embedded broker cannot add partitions. A recreated topic with more partitions, and with the same messages at the same offsets,
    // looks the same to the server, which does not see how it was created.
    let brokers = server.addresses.kafka_brokers.clone();
    assert!(signal(server.pid(), "STOP"));
    let asked = brokers.clone();
    let before = tokio::task::spawn_blocking(move || messages(&asked, 4)).await.unwrap();
    assert_eq!(before.len(), 5000);
    recreate(&brokers, 8).await;
    produce(&brokers, &before, |_, message| message.partition()).await;
    assert!(signal(server.pid(), "CONT"));

    // Rounds that are known from other partitions, and rounds that are new in two partitions at the same time.
    produce(&brokers, &before[..1000], |at, _| 4 + (at % 4) as i32).await;
    let schema = earlier_schema();
    let schema_id = register(&server, &schema).await;
    let schema = apache_avro::Schema::parse(&schema).unwrap();
    let made: Vec<OwnedMessage> = (0..600_i64)
        .map(|at| {
            let id = 900_000 + at / 2;
            let (key, value) = (id.to_string().into_bytes(), message(schema_id, &schema, id, 25_000_000));
            OwnedMessage::new(Some(value), Some(key), TOPIC.to_owned(), Timestamp::now(), 0, 0, None)
        })
        .collect();
    produce(&brokers, &made, |at, _| 4 + (at % 2) as i32).await;
    assert_eq!(upload_at_last(&server, &second, "wait=visible").await["state"], "visible");
    until_loaded(&server, 5000 + 1000 + 600 + 3000).await;
    let counts = "SELECT (SELECT uniqExact(epoch) FROM loader_topics WHERE topic = 'staging-bets'), \
                  (SELECT max(partitions) FROM loader_topics WHERE topic = 'staging-bets'), count(), \
                  uniqExact(game_instance_id) FROM game_rounds";
    assert_eq!(server.clickhouse(counts).await, format!("1\t8\t{0}\t{0}", 8000 + 300));
    let mut stored = by_hour(&server).await;
    stored
        .retain(|(hour, player, _), _| !(hour.starts_with("2020-02-03T04") && player.starts_with("player-")));
    assert_same(&stored, &Expected::of(&[&first, &second]).by_hour);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_fails_if_its_rows_are_deleted_before_they_are_loaded_and_can_be_sent_again() {
    let (_directory, [first, second, third]) = files([0..2000, 2000..4000, 4000..6000]);
    let mut server = Server::start(&[]).await;
    let lost = leave_unloaded(&mut server, &[], &first, &second).await;
    let kept = upload(&server, &third, "").await;
    let offsets = lost["offsets"].as_object().unwrap().iter();
    let before: Vec<(i32, i64)> = offsets
        .map(|(partition, range)| (partition.parse().unwrap(), range[0].as_i64().unwrap() + 50))
        .collect();
    delete_messages(&server.addresses.kafka_brokers, &before).await;
    server.restart_with(&[]).await;
    let reason = until_lost(&server, &lost).await;
    assert!(
        reason.contains("200 acknowledged rows") && reason.contains("retention deleted them"),
        "{reason}"
    );
    let rejects =
        "SELECT count(), uniqExact(kafka_partition) FROM rejects WHERE code = 'deleted_before_load'";
    assert_eq!(server.clickhouse(rejects).await, "4\t4");
    let metric = "roundhouse_lost_messages_total{code=\"deleted_before_load\"}";
    assert_eq!(server.metric(metric).await, 200.0);
    let list = server.get("/uploads").await.ok();
    let state = |upload: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.clone().find(|item| item["upload_id"] == upload["upload_id"]).unwrap()["state"].clone()
    };
    assert_eq!((state(&lost), state(&kept)), (json!("failed"), json!("visible")));

    // The same file again does not count as a duplicate.
    assert_eq!(upload(&server, &second, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second, &third], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_with_other_partitions_is_loaded_and_lost_rows_are_reported() {
    let (_directory, [first, second, third]) = files([0..2000, 2000..4000, 4000..6000]);
    let mut server = Server::start(&[]).await;
    let lost = leave_unloaded(&mut server, &[], &first, &second).await;
    recreate(&server.addresses.kafka_brokers, 3).await;
    // An upload to a partition that no longer exists fails soon and is retried.
    server.restart_with(&["--delivery-timeout-seconds", "10"]).await;
    let reason = until_lost(&server, &lost).await;
    assert!(reason.contains("2000 acknowledged rows") && reason.contains("created again"), "{reason}");
    assert_eq!(upload(&server, &second, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second], 2).await;

    // Now while the server runs.
    recreate(&server.addresses.kafka_brokers, 2).await;
    let epochs = "SELECT max(epoch) - min(epoch), argMax(partitions, epoch) FROM loader_topics WHERE topic = 'staging-bets'";
    let is_found = async || server.clickhouse(epochs).await.ends_with("\t2").then_some(());
    until("the loader has detected the recreated topic", is_found).await;
    assert_eq!(upload_at_last(&server, &third, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second, &third], 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_messages_are_skipped_and_reported_and_loading_continues() {
    let (_directory, [first, second, third]) = files([0..2000, 2000..4000, 4000..6000]);
    let services = Services::start().await;
    let mut server = services.server(&[]).await;
    let options = services.options(&[]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let damaged = leave_unloaded(&mut server, &options, &first, &second).await;
    damage_last_batch(&services.data_dir("broker"));
    let kept = upload(&server, &third, "").await;
    server.restart_with(&options).await;
    let reason = until_lost(&server, &damaged).await;
    assert!(reason.contains("cannot be read"), "{reason}");
    let path = format!("/uploads/{}", kept["upload_id"].as_str().unwrap());
    until("the file after it is visible", async || {
        (server.get(&path).await.ok()["state"] == "visible").then_some(())
    })
    .await;
    assert_eq!(server.get("/readyz").await.status, 200);
    let rejects = "SELECT count(), uniqExact(kafka_partition) FROM rejects WHERE code = 'unreadable_message'";
    assert_eq!(server.clickhouse(rejects).await, "1\t1");
    let lost = server.metric("roundhouse_lost_messages_total{code=\"unreadable_message\"}").await as u64;
    let stored = server.clickhouse("SELECT count() FROM game_rounds").await.parse::<u64>().unwrap();
    assert!(lost > 0 && stored + lost == 6000, "{lost} lost, {stored} stored");
    assert_eq!(upload(&server, &second, "wait=visible").await["state"], "visible");
    assert_stored(&server, &[&first, &second, &third], 1).await;
}

/// Changes a byte in the last batch of a partition of the largest topic, which is the topic of rounds.
fn damage_last_batch(broker: &Path) {
    let files = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let topics = files(&broker.join("log")).into_iter().filter(|topic| topic.join("0").is_dir());
    let logs = topics.flat_map(|topic| files(&topic.join("0")));
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let log = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max_by_key(size).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&log).unwrap();
    let (mut byte, at) = ([0], size(&log) - 5);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
