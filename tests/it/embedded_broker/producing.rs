//! Producing: slowly, at full speed, large batches, too large ones, several producers at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::kafka::{PARTITIONS, TestBroker, noise};

#[test]
fn small_batches_at_a_low_rate_are_acknowledged_without_stalls() {
    const RECORDS: u64 = 24_000;
    const A_SECOND: f64 = 3_000.0;
    let broker = TestBroker::start();
    broker.create_topic("paced", PARTITIONS).unwrap();
    let producer = broker.producer(&[("enable.idempotence", "false")]);
    let started = Instant::now();
    let mut sent = HashMap::new();
    for id in 0..RECORDS {
        let due = Duration::from_secs_f64(id as f64 / A_SECOND);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        sent.insert(id, Instant::now());
        producer.send("paced", (id % 4) as i32, id, &noise(id, 120));
    }
    let acknowledged = producer.finish_acknowledged();
    assert_eq!(acknowledged.len() as u64, RECORDS);
    let mut waits: Vec<_> = acknowledged.iter().map(|delivery| delivery.at - sent[&delivery.id]).collect();
    waits.sort_unstable();
    let at = |share: usize| waits[waits.len() * share / 1000];
    println!("acknowledged after p50 {:?} p99 {:?} p99.9 {:?}", at(500), at(990), at(999));
    let stored = broker.read_all("paced", PARTITIONS);
    assert_eq!(stored.values().map(Vec::len).sum::<usize>() as u64, RECORDS);
}

#[test]
fn two_producers_share_partitions_without_a_loss() {
    const EACH: u64 = 50_000;
    let broker = TestBroker::start();
    broker.create_topic("both", PARTITIONS).unwrap();
    std::thread::scope(|scope| {
        for name in [b'a', b'b'] {
            let broker = &broker;
            scope.spawn(move || {
                let producer = broker.producer(&[("batch.num.messages", "500")]);
                for id in 0..EACH {
                    let mut value = id.to_be_bytes().to_vec();
                    value.push(name);
                    producer.send("both", (id % 4) as i32, id, &value);
                }
                producer.finish_acknowledged();
            });
        }
    });
    for (partition, values) in broker.read_all("both", PARTITIONS) {
        for name in [b'a', b'b'] {
            let of_one = values.iter().filter(|value| value[8] == name);
            let ids = of_one.map(|value| u64::from_be_bytes(value[..8].try_into().unwrap()));
            assert!(ids.eq((0..EACH).filter(|id| id % 4 == partition as u64)), "{name} in {partition}");
        }
    }
}

#[test]
fn many_records_and_large_batches_at_full_speed_are_acknowledged() {
    let broker = TestBroker::start();
    broker.create_topic("flood", PARTITIONS).unwrap();
    let settings = [
        ("linger.ms", "1000"),
        ("batch.size", "12000000"),
        ("batch.num.messages", "1000000"),
        ("message.max.bytes", "16000000"),
    ];
    let producer = broker.producer(&settings);
    // 100,000 records in flight, then 16 MiB at once.
    (0..100_000).for_each(|id| producer.send("flood", (id % 4) as i32, id, &noise(id, 120)));
    (100_000..100_016).for_each(|id| producer.send("flood", 0, id, &noise(id, 1 << 20)));
    assert_eq!(producer.finish_acknowledged().len(), 100_016);
    let stored = broker.read_all("flood", PARTITIONS);
    assert_eq!(stored.values().map(Vec::len).sum::<usize>(), 100_016);
    assert!(stored[&0].last() == Some(&noise(100_015, 1 << 20)));
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_next_one_is_accepted() {
    let broker = TestBroker::start();
    broker.create_topic("large", 1).unwrap();
    let settings = [
        ("message.max.bytes", "80000000"),
        ("batch.size", "80000000"),
        ("queue.buffering.max.kbytes", "200000"),
        ("linger.ms", "0"),
        ("enable.idempotence", "false"),
    ];
    let producer = broker.producer(&settings);
    producer.send("large", 0, 0, &noise(0, 1 << 20));
    producer.wait_for(1);
    producer.send("large", 0, 1, &noise(1, 33 << 20));
    producer.wait_for(2);
    producer.send("large", 0, 2, &noise(2, 9 << 20));
    let mut outcomes = producer.finish();
    outcomes.sort_by_key(|delivery| delivery.id);
    let outcomes: Vec<_> = outcomes.into_iter().map(|delivery| delivery.outcome).collect();
    assert_eq!(outcomes, [Ok(0), Err(RDKafkaErrorCode::MessageSizeTooLarge), Ok(1)]);
}
