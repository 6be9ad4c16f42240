//! A log with more files than the process may open.

use std::fs;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::{PATIENCE, TestBroker};

/// Limit for the broker's open descriptors.
const DESCRIPTORS: usize = 256;

const TOPICS: [&str; 2] = ["first", "second"];
const PARTITIONS: i32 = 256;

/// Returns the number of descriptors that the broker has open, if the kernel reports it.
fn descriptors(broker: &TestBroker) -> usize {
    fs::read_dir(format!("/proc/{}/fd", broker.part.pid())).map_or(0, Iterator::count)
}

/// Reads every partition from its start. Returns the number of records.
fn read(broker: &TestBroker, topic: &str, records: usize) -> usize {
    let consumer: BaseConsumer = broker.make(&[("group.id", "reader"), ("enable.auto.commit", "false")]);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let started = Instant::now();
    let mut seen = 0;
    while seen < records && started.elapsed() < PATIENCE {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            assert_eq!(message.payload().unwrap(), message.partition().to_be_bytes());
            seen += 1;
        }
    }
    seen
}

#[test]
fn more_partitions_than_descriptors_can_be_written_read_and_reopened() {
    let mut broker = TestBroker::start_with_descriptors(DESCRIPTORS);
    for topic in TOPICS {
        broker.create_topic(topic, PARTITIONS).unwrap();
    }
    for round in 1..=2_usize {
        let producer = broker.producer(&[]);
        for topic in TOPICS {
            (0..PARTITIONS).for_each(|partition| {
                producer.send(topic, partition, partition as u64, &partition.to_be_bytes());
            });
        }
        let acknowledged = producer.finish_acknowledged();
        assert_eq!(acknowledged.len(), TOPICS.len() * PARTITIONS as usize);
        for topic in TOPICS {
            assert_eq!(read(&broker, topic, round * PARTITIONS as usize), round * PARTITIONS as usize);
        }
        let open = descriptors(&broker);
        assert!(open < DESCRIPTORS * 3 / 4, "{open} descriptors are open");
        broker.part.restart();
        let open = descriptors(&broker);
        assert!(open < DESCRIPTORS * 3 / 4, "{open} descriptors are open after a restart");
    }
}
