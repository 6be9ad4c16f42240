//! The dead-letter topic, read as anybody may.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::message::Headers;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::process::PATIENCE;
use super::server::Server;
use super::topic::reader;

/// A message of the dead-letter topic.
#[derive(Debug)]
pub struct DeadLetter {
    pub raw: String,
    pub headers: BTreeMap<String, String>,
}

/// Reads this many messages from the beginning of the topic, by the line that they name.
pub async fn read(server: &Server, expected: usize) -> BTreeMap<u64, DeadLetter> {
    let brokers = server.addresses.kafka_brokers.clone();
    tokio::task::spawn_blocking(move || read_blocking(&brokers, expected)).await.unwrap()
}

fn read_blocking(brokers: &str, expected: usize) -> BTreeMap<u64, DeadLetter> {
    let consumer = reader(brokers);
    let mut partitions = TopicPartitionList::new();
    for partition in 0..4 {
        partitions.add_partition_offset("staging-bets-dlq", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut letters = BTreeMap::new();
    let started = Instant::now();
    while letters.len() < expected {
        assert!(started.elapsed() < PATIENCE, "{} of {expected} dead letters", letters.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers: BTreeMap<String, String> = message
            .headers()
            .unwrap()
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
            .collect();
        let line = headers["line"].parse().unwrap();
        letters.insert(line, DeadLetter { raw: text(message.payload().unwrap()), headers });
    }
    letters
}
