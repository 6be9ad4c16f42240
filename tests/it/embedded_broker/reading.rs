//! Reading: from any offset, by time, with limits smaller than a batch, and the watermarks.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::{PARTITIONS, PATIENCE, TestBroker, next, noise};
use crate::harness::seed;

#[test]
fn reading_starts_at_exactly_the_requested_offset_and_reaches_the_end_without_a_gap() {
    const OFFSETS: usize = 200;
    let broker = TestBroker::start();
    broker.create_topic("random", PARTITIONS).unwrap();
    for (round, batch) in ["1", "7", "100", "10000", "3"].into_iter().enumerate() {
        let producer = broker.producer(&[("batch.num.messages", batch), ("linger.ms", "20")]);
        let records = if round == 3 { 20_000 } else { 2_000 };
        (0..records)
            .for_each(|id| producer.send("random", (id % 4) as i32, id, &noise(id, 1 + id as usize % 150)));
        producer.finish_acknowledged();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    for _ in 0..OFFSETS {
        let partition = rng.random_range(0..PARTITIONS);
        let (low, high) = broker.watermarks("random", partition);
        assert_eq!((low, high), (0, 7_000));
        let first = rng.random_range(low..high);
        let consumer = broker.reader("random", partition, first, &[]);
        for offset in first..high {
            assert_eq!(next(&consumer).offset(), offset, "from {first} in {partition}");
        }
    }
}

#[test]
fn four_partitions_assigned_at_given_offsets_are_read_at_the_same_time() {
    let broker = TestBroker::start();
    broker.create_topic("assigned", PARTITIONS).unwrap();
    let producer = broker.producer(&[]);
    (0..40_000).for_each(|id| producer.send("assigned", (id % 4) as i32, id, b"value"));
    producer.finish_acknowledged();
    let consumer: BaseConsumer = broker.make(&[("group.id", "loader"), ("enable.auto.commit", "false")]);
    let mut assignment = TopicPartitionList::new();
    let starts = [0, 17, 9_999, 10_000];
    for (partition, start) in starts.into_iter().enumerate() {
        assignment.add_partition_offset("assigned", partition as i32, Offset::Offset(start)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut expected = starts;
    for _ in 0..starts.iter().map(|start| 10_000 - start).sum() {
        let message = next(&consumer);
        let expected = &mut expected[message.partition() as usize];
        assert_eq!(message.offset(), *expected);
        *expected += 1;
    }
    assert!(consumer.poll(Duration::from_millis(300)).is_none());
}

#[test]
fn limits_smaller_than_a_batch_slow_a_reader_down_but_never_stop_it() {
    let broker = TestBroker::start();
    broker.create_topic("limits", 1).unwrap();
    let large =
        [("batch.size", "12000000"), ("message.max.bytes", "16000000"), ("batch.num.messages", "1000000")];
    let producer = broker.producer(&[&large[..], &[("linger.ms", "500")]].concat());
    (0..100_000).for_each(|id| producer.send("limits", 0, id, &noise(id, 100)));
    producer.finish_acknowledged();
    for limits in [("fetch.message.max.bytes", "1000"), ("fetch.max.bytes", "1000")] {
        let small = [limits, ("message.max.bytes", "1000"), ("receive.message.max.bytes", "100000000")];
        let consumer = broker.reader("limits", 0, 50_001, &small);
        for offset in 50_001..100_000 {
            assert_eq!(next(&consumer).offset(), offset, "{limits:?}");
        }
    }
}

#[test]
fn an_offset_that_does_not_exist_causes_an_error() {
    let broker = TestBroker::start();
    broker.create_topic("range", 1).unwrap();
    let producer = broker.producer(&[]);
    (0..10).for_each(|id| producer.send("range", 0, id, b"value"));
    producer.finish_acknowledged();
    let consumer = broker.reader("range", 0, 1_000, &[("auto.offset.reset", "error")]);
    let error = consumer.poll(PATIENCE).expect("an answer in time").expect_err("an error");
    assert!(matches!(error, KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)), "{error:?}");
}

#[test]
fn watermarks_are_correct_before_between_and_after_records_and_after_a_kill() {
    let mut broker = TestBroker::start();
    broker.create_topic("marks", PARTITIONS).unwrap();
    let all = |broker: &TestBroker| -> Vec<(i64, i64)> {
        (0..PARTITIONS).map(|partition| broker.watermarks("marks", partition)).collect()
    };
    assert_eq!(all(&broker), [(0, 0); 4]);
    for round in 1..=3_i64 {
        let producer = broker.producer(&[]);
        (0..300).for_each(|id| producer.send("marks", (id % 3) as i32, id, b"value"));
        producer.finish_acknowledged();
        let expected = [(0, 100 * round), (0, 100 * round), (0, 100 * round), (0, 0)];
        assert_eq!(all(&broker), expected);
        broker.part.restart();
        assert_eq!(all(&broker), expected);
    }
}

#[test]
fn the_first_offset_since_a_time_is_found_inside_a_batch() {
    let broker = TestBroker::start();
    broker.create_topic("times", 1).unwrap();
    for codec in ["none", "gzip", "lz4"] {
        let (low, _) = (0, 0);
        let (_, start) = broker.watermarks("times", 0);
        let producer: BaseProducer = broker.make(&[("linger.ms", "200"), ("compression.codec", codec)]);
        for offset in start..start + 1_000 {
            let record = BaseRecord::<(), _>::to("times").payload("value").timestamp(1_000_000 + offset * 10);
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        assert_eq!(broker.watermarks("times", 0), (low, start + 1_000));
    }
    let consumer: BaseConsumer = broker.make(&[("group.id", "times")]);
    let find = |timestamp| {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_offset("times", 0, Offset::Offset(timestamp)).unwrap();
        consumer.offsets_for_times(wanted, PATIENCE).unwrap().elements()[0].offset()
    };
    assert_eq!(find(0), Offset::Offset(0));
    for offset in [1, 500, 999, 1_000, 1_234, 2_500] {
        assert_eq!(find(1_000_000 + offset * 10 - 9), Offset::Offset(offset), "just before {offset}");
        assert_eq!(find(1_000_000 + offset * 10), Offset::Offset(offset), "at {offset}");
    }
    assert_eq!(find(9_000_000), Offset::End, "no record is that new");
}

#[test]
fn keys_values_headers_and_nulls_are_read_unchanged() {
    let broker = TestBroker::start();
    broker.create_topic("shapes", 1).unwrap();
    let producer: BaseProducer = broker.make(&[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "upload", value: Some("1f") })
        .insert(Header { key: "empty", value: Some("") })
        .insert(Header::<&str> { key: "null", value: None });
    producer.send(BaseRecord::to("shapes").key("key").payload("value").headers(headers)).unwrap();
    producer.send(BaseRecord::<str, str>::to("shapes").key("tombstone")).unwrap();
    producer.send(BaseRecord::<str, str>::to("shapes").payload("no key")).unwrap();
    producer.send(BaseRecord::<str, str>::to("shapes")).unwrap();
    producer.send(BaseRecord::to("shapes").key("").payload("")).unwrap();
    producer.flush(PATIENCE).unwrap();
    let consumer = broker.reader("shapes", 0, 0, &[]);
    let first = next(&consumer);
    let headers: Vec<_> = first.headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
    assert_eq!(headers, [("upload", Some(&b"1f"[..])), ("empty", Some(b"")), ("null", None)]);
    assert_eq!((first.key(), first.payload()), (Some(&b"key"[..]), Some(&b"value"[..])));
    let shapes = [(Some("tombstone"), None), (None, Some("no key")), (None, None), (Some(""), Some(""))];
    for shape in shapes {
        let message = next(&consumer);
        assert_eq!(
            (message.key(), message.payload()),
            (shape.0.map(str::as_bytes), shape.1.map(str::as_bytes))
        );
    }
}
