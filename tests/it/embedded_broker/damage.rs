//! Bytes of the log that change on disk: damaged records are never served, and every loss is reported.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::kafka::{PATIENCE, TestBroker};
use crate::harness::files::csv;
use crate::harness::process::until;
use crate::harness::server::Server;
use crate::harness::topic::reader;

/// Records in each of the three batches of a topic.
const RECORDS: u64 = 10;

const INVALID: Option<RDKafkaErrorCode> = Some(RDKafkaErrorCode::InvalidMessage);

fn value(topic: &str, id: u64) -> Vec<u8> {
    format!("{topic} {id:0>20}").into_bytes()
}

/// Produces records as one batch. Returns the offset of the first record.
fn send(broker: &TestBroker, topic: &str, partition: i32, ids: Range<u64>) -> i64 {
    let producer = broker.producer(&[("linger.ms", "1000"), ("enable.idempotence", "false")]);
    ids.for_each(|id| producer.send(topic, partition, id, &value(topic, id)));
    producer.finish_acknowledged()[0].outcome.unwrap()
}

fn fill(broker: &TestBroker, topic: &str) {
    for batch in 0..3 {
        send(broker, topic, 0, batch * RECORDS..(batch + 1) * RECORDS);
    }
}

/// Returns the segment that contains these bytes, and their position.
fn find(directory: &Path, bytes: &[u8]) -> (PathBuf, usize) {
    let entries = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let partitions = entries(directory.join("log")).flat_map(entries).filter(|path| path.is_dir());
    let mut files = partitions.flat_map(entries);
    let found = files.find_map(|path| {
        let log = fs::read(&path).unwrap();
        Some((path, log.windows(bytes.len()).position(|window| window == bytes)?))
    });
    found.expect("a file with these bytes")
}

fn flip(path: &Path, place: usize) {
    let mut log = fs::read(path).unwrap();
    log[place] ^= 1;
    fs::write(path, log).unwrap();
}

/// Reads from `offset` on, like a client that checks nothing itself. Returns the records, and an error if there is one.
fn read(
    broker: &TestBroker,
    topic: &str,
    partition: i32,
    offset: i64,
) -> (Vec<i64>, Option<RDKafkaErrorCode>) {
    let settings =
        [("check.crcs", "false"), ("auto.offset.reset", "error"), ("enable.partition.eof", "true")];
    let consumer = broker.reader(topic, partition, offset, &settings);
    let mut offsets = Vec::new();
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                assert_eq!(message.payload().unwrap(), value(topic, message.offset() as u64));
                offsets.push(message.offset());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return (offsets, None),
            Some(Err(error)) => return (offsets, error.rdkafka_error_code()),
            None => {}
        }
    }
    panic!("neither the end nor an error within {PATIENCE:?}");
}

#[test]
fn a_byte_that_changes_while_the_broker_runs_is_never_served_and_affects_no_other_record() {
    let broker = TestBroker::start();
    // A byte in the second batch: in a value, or in the header's length.
    for topic in ["in-value", "in-length"] {
        broker.create_topic(topic, 2).unwrap();
        fill(&broker, topic);
        send(&broker, topic, 1, 0..RECORDS);
        let (log, mut place) = find(broker.directory.path(), &value(topic, 15));
        if topic == "in-length" {
            let bytes = fs::read(&log).unwrap();
            place = 10 + bytes.windows(8).position(|window| window == 10_u64.to_be_bytes()).unwrap();
        }
        flip(&log, place);
        assert_eq!(read(&broker, topic, 0, 0), ((0..10).collect(), INVALID));
        assert_eq!(read(&broker, topic, 0, 17), (Vec::new(), INVALID));
        assert_eq!(read(&broker, topic, 0, 20), ((20..30).collect(), None));
        assert_eq!(read(&broker, topic, 1, 0), ((0..10).collect(), None));
        assert_eq!(send(&broker, topic, 0, 30..31), 30);
        assert_eq!(read(&broker, topic, 0, 20), ((20..31).collect(), None));
    }
}

#[test]
fn after_a_restart_acknowledged_records_are_served_or_reported_and_no_offset_is_assigned_twice() {
    /// Name of the topic, the change to its file, and the lost offsets.
    type Case = (&'static str, fn(&Path, usize), Range<i64>);
    let cases: [Case; 7] = [
        ("first-changed", |path, batch| flip(path, batch - 1), 0..10),
        ("middle-changed", |path, batch| flip(path, 2 * batch - 1), 10..20),
        ("last-changed", |path, batch| flip(path, 3 * batch - 1), 20..30),
        ("cut", |path, batch| truncate(path, 3 * batch as u64 - 5), 20..30),
        ("zeroed", |path, batch| zero_from(path, batch), 10..30),
        ("emptied", |path, _| truncate(path, 0), 0..30),
        ("removed", |path, _| fs::remove_file(path).unwrap(), 0..30),
    ];
    let mut broker = TestBroker::start();
    let logs = cases.clone().map(|(topic, ..)| {
        broker.create_topic(topic, 1).unwrap();
        fill(&broker, topic);
        find(broker.directory.path(), &value(topic, 0)).0
    });
    broker.part.kill();
    let damaged = std::array::from_fn::<_, 7, _>(|at| {
        let batch = fs::read(&logs[at]).unwrap().len() / 3;
        cases[at].1(&logs[at], batch);
        fs::read(&logs[at]).ok()
    });
    for round in 0..2 {
        broker.part.restart();
        for (topic, _, lost) in cases.clone() {
            let next = 30 + round;
            assert_eq!(send(&broker, topic, 0, next..next + 1), next as i64, "{topic}");
            assert_eq!(broker.watermarks(topic, 0), (0, next as i64 + 1), "{topic}");
            if lost.start > 0 {
                assert_eq!(read(&broker, topic, 0, 0), ((0..lost.start).collect(), INVALID), "{topic}");
            }
            assert_eq!(read(&broker, topic, 0, lost.end - 1), (Vec::new(), INVALID), "{topic}");
            let rest = (lost.end..next as i64 + 1).collect();
            assert_eq!(read(&broker, topic, 0, lost.end), (rest, None), "{topic}");
        }
    }
    for ((log, damaged), (topic, ..)) in logs.iter().zip(damaged).zip(cases) {
        let kept = damaged.unwrap_or_default();
        assert!(
            fs::read(log).unwrap_or_default().starts_with(&kept),
            "{topic}: the damaged file was changed"
        );
    }
}

fn truncate(path: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn zero_from(path: &Path, place: usize) {
    let mut log = fs::read(path).unwrap();
    log[place..].fill(0);
    fs::write(path, log).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_names_the_damaged_records_until_they_are_deleted() {
    let server = Server::start(&["--loader", "none"]).await;
    server.upload(csv(0..2_000), "").await.ok();
    let (log, place) = find(&server.data_dir().join("broker"), b"player-1");
    flip(&log, place);
    let number: i32 = log.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    let brokers = server.addresses.kafka_brokers.clone();
    tokio::task::spawn_blocking(move || read_until_error(&brokers, number)).await.unwrap();
    let parts = until("the broker is not ready", async || {
        let answer = server.get("/readyz").await;
        (answer.status == 503).then_some(answer.body["parts"].clone())
    })
    .await;
    let reason = parts["broker"]["reason"].as_str().unwrap();
    let start = format!("partition {number} of topic staging-bets: offsets 0 to ");
    assert!(reason.starts_with(&start), "{reason}");
    assert!(reason.contains("00000000000000000000.log is damaged at byte 0"), "{reason}");
    let next: i64 = reason.rsplit(' ').next().unwrap().parse().unwrap();
    let others = ["registry", "clickhouse"].map(|part| parts[part]["ready"].clone());
    assert_eq!(others, [Value::Bool(true), Value::Bool(true)], "{parts:#}");

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &server.addresses.kafka_brokers).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("staging-bets", number, Offset::Offset(next)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    server.until_ready().await;
}

/// Reads a partition from its start and asserts that the first result is an error.
fn read_until_error(brokers: &str, partition: i32) {
    let consumer = reader(brokers);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("staging-bets", partition, Offset::Offset(0)).unwrap();
    consumer.assign(&assignment).unwrap();
    let read = consumer.poll(PATIENCE).expect("an answer");
    assert_eq!(read.map(drop).map_err(|error| error.rdkafka_error_code()), Err(INVALID));
}
