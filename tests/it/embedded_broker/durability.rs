//! Acknowledged records survive SIGKILL, a stop, and an interrupted write.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::message::Message as _;

use super::kafka::{PARTITIONS, TestBroker, next, noise};
use crate::harness::part::Part;
use crate::harness::seed;

const KILLS: usize = 6;
const RECORDS: u64 = 300_000;

#[test]
fn acknowledged_records_survive_kills_exactly_once_and_in_order() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut broker = TestBroker::start();
    broker.create_topic("killed", PARTITIONS).unwrap();
    let producer = broker.producer(&[("batch.size", "100000")]);
    let mut kills: Vec<usize> = (0..KILLS).map(|_| rng.random_range(1..RECORDS as usize * 3 / 4)).collect();
    kills.sort_unstable();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..RECORDS {
                producer.send("killed", (id % PARTITIONS as u64) as i32, id, &value(id));
                if id % 1000 == 0 {
                    // Slow enough that the kills happen in between.
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        for kill in kills {
            producer.wait_for(kill);
            broker.part.restart();
        }
    });
    let acknowledged = producer.finish_acknowledged();
    assert_eq!(acknowledged.len() as u64, RECORDS);
    for (partition, values) in broker.read_all("killed", PARTITIONS) {
        let expected = (0..RECORDS).filter(|id| id % PARTITIONS as u64 == partition as u64).map(value);
        assert!(values.into_iter().eq(expected), "partition {partition} differs");
    }
}

fn value(id: u64) -> Vec<u8> {
    format!("{id:0>100}").into_bytes()
}

#[test]
fn an_acknowledged_offset_has_the_same_record_after_a_kill() {
    let mut broker = TestBroker::start();
    broker.create_topic("offsets", PARTITIONS).unwrap();
    let producer = broker.producer(&[]);
    for id in 0..20_000 {
        producer.send("offsets", (id % PARTITIONS as u64) as i32, id, &value(id));
    }
    producer.wait_for(10_000);
    broker.part.restart();
    let acknowledged = producer.finish_acknowledged();
    let stored = broker.read_all("offsets", PARTITIONS);
    for delivery in acknowledged {
        let offset = usize::try_from(delivery.outcome.unwrap()).unwrap();
        assert_eq!(stored[&delivery.partition][offset], value(delivery.id));
    }
}

#[test]
fn a_consumer_never_sees_a_record_that_a_kill_removes() {
    let mut broker = TestBroker::start();
    broker.create_topic("shown", 1).unwrap();
    for round in 0..5_u64 {
        let producer = broker.producer(&[("linger.ms", "0"), ("batch.num.messages", "10")]);
        let (start, _) = broker.watermarks("shown", 0);
        let consumer = broker.reader("shown", 0, start, &[("fetch.wait.max.ms", "10")]);
        let mut seen = BTreeMap::new();
        for id in 0..20_000 {
            producer.send("shown", 0, id, &noise(round << 32 | id, 50));
        }
        while seen.len() < 2_000 * (round as usize + 1) {
            let message = next(&consumer);
            seen.insert(message.offset(), message.payload().unwrap().to_vec());
        }
        broker.part.kill();
        while let Some(Ok(message)) = consumer.poll(Duration::ZERO) {
            seen.insert(message.offset(), message.payload().unwrap().to_vec());
        }
        drop(producer);
        broker.part.restart();
        let stored = broker.read_all("shown", 1).remove(&0).unwrap();
        for (offset, value) in seen {
            assert!(stored.get(offset as usize) == Some(&value), "offset {offset} changed in round {round}");
        }
    }
}

#[test]
fn only_an_interrupted_write_is_cut_off() {
    let mut broker = TestBroker::start();
    broker.create_topic("torn", 1).unwrap();
    let send = |broker: &TestBroker, ids: std::ops::Range<u64>| {
        let producer = broker.producer(&[("batch.num.messages", "100")]);
        ids.for_each(|id| producer.send("torn", 0, id, &value(id)));
        producer.finish_acknowledged();
    };
    send(&broker, 0..1_000);
    let log = segments(&broker).pop().unwrap();
    let whole = fs::read(&log).unwrap();
    // The first bytes of a stored batch; a batch whose end is missing; noise; zeros, as after a power cut.
    let torn = [whole[..30].to_vec(), whole[..whole.len() / 3].to_vec(), noise(1, 5_000), vec![0; 4_096]];
    for (round, tail) in torn.into_iter().enumerate() {
        broker.part.kill();
        fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(&tail).unwrap();
        broker.part.restart();
        let end = 1_000 + round as u64 * 10;
        assert_eq!(broker.watermarks("torn", 0), (0, end as i64), "tail {round}");
        send(&broker, end..end + 10);
        let expected: Vec<_> = (0..end + 10).map(value).collect();
        assert_eq!(broker.read_all("torn", 1)[&0], expected, "tail {round}");
    }
}

#[test]
fn a_log_of_several_files_is_complete_after_a_kill_and_readable_from_any_offset() {
    const MEGABYTES: u64 = 300;
    let mut broker = TestBroker::start();
    broker.create_topic("long", 1).unwrap();
    let settings = [("message.max.bytes", "2000000"), ("queue.buffering.max.kbytes", "65536")];
    let producer = broker.producer(&settings);
    for id in 0..MEGABYTES {
        producer.send("long", 0, id, &noise(id, 1_000_000));
    }
    producer.wait_for(280);
    broker.part.restart();
    producer.finish_acknowledged();
    assert!(segments(&broker).len() >= 3, "{:?}", segments(&broker));
    assert_eq!(broker.watermarks("long", 0), (0, MEGABYTES as i64));
    for offset in [0, 1, 120, 128, 133, 134, 135, 200, 299] {
        let consumer = broker.reader("long", 0, offset, &[]);
        let message = next(&consumer);
        assert_eq!(message.offset(), offset);
        assert!(message.payload().unwrap() == noise(offset as u64, 1_000_000));
    }
}

fn segments(broker: &TestBroker) -> Vec<PathBuf> {
    let topics = fs::read_dir(broker.directory.path().join("log")).unwrap();
    let topic = topics.map(|entry| entry.unwrap().path()).next().unwrap();
    let files = fs::read_dir(topic.join("0")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    segments
}

#[test]
fn a_stop_succeeds_and_the_next_start_finds_everything() {
    let mut broker = TestBroker::start();
    broker.create_topic("stopped", PARTITIONS).unwrap();
    let producer = broker.producer(&[]);
    (0..10_000).for_each(|id| producer.send("stopped", (id % 4) as i32, id, &value(id)));
    producer.finish_acknowledged();
    // A client that waits for records must not delay the stop.
    let waiting =
        broker.reader("stopped", 0, 2_500, &[("fetch.wait.max.ms", "60000"), ("socket.timeout.ms", "90000")]);
    let _ = waiting.poll(Duration::from_millis(200));
    let stopping = Instant::now();
    assert!(broker.part.stop().success());
    assert!(stopping.elapsed() < Duration::from_secs(10), "it was killed: {:?}", stopping.elapsed());
    broker.part.restart();
    let stored = broker.read_all("stopped", PARTITIONS);
    assert_eq!(stored.values().map(Vec::len).sum::<usize>(), 10_000);
}

#[test]
fn a_second_broker_cannot_use_the_same_directory_or_port() {
    let broker = TestBroker::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let reason = Part::refusal("broker", elsewhere.path(), broker.part.address, &[]);
    assert!(reason.contains("is in use") && reason.contains("--embedded-kafka-listen"), "{reason}");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let reason = Part::refusal("broker", broker.directory.path(), free, &[]);
    assert!(reason.contains("used by another roundhouse"), "{reason}");
}
