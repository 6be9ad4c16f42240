//! Topics that were created elsewhere, and messages of other producers: small limits, every codec.

use std::fs;
use std::path::Path;
use std::time::Duration;

use apache_avro::Schema;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;
use tempfile::TempDir;

use crate::conflicts::{earlier_schema, message, register};
use crate::harness::files::{HEADER, csv, lines};
use crate::harness::part::Part;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Server;

/// Position of the codec in a batch: the lowest bits of the second byte of the attributes.
const CODEC_AT: usize = 22;

async fn create_topic(broker: &str, topic: &str, max_message_bytes: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let topic =
        NewTopic::new(topic, 4, TopicReplication::Fixed(1)).set("max.message.bytes", max_message_bytes);
    let created = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

async fn rounds(server: &Server, rounds: u64) {
    until(&format!("{rounds} rounds are stored"), async || {
        let stored = server.clickhouse("SELECT uniqExact(game_instance_id) FROM game_rounds").await;
        (stored == rounds.to_string()).then_some(())
    })
    .await;
}

/// Produces a hundred rounds in large batches with a codec, and waits until the broker has acknowledged them.
fn produce(brokers: &str, codec: &str, messages: &[(i64, Vec<u8>)]) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2")
        .set("linger.ms", "500")
        .set("compression.type", codec)
        .create()
        .unwrap();
    for (id, payload) in messages {
        let key = id.to_string();
        producer
            .send(BaseRecord::to("staging-bets").key(&key).payload(payload))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Returns the codecs of the first batches of all partitions of all topics.
fn stored_codecs(directory: &Path) -> Vec<u8> {
    let topics = fs::read_dir(directory.join("log")).unwrap().map(|topic| topic.unwrap().path());
    let partitions = topics.flat_map(|topic| (0..4).map(move |number| topic.join(number.to_string())));
    let mut codecs = Vec::new();
    for partition in partitions {
        let log = fs::read(partition.join("00000000000000000000.log")).unwrap_or_default();
        let mut left = &log[..];
        while left.len() > CODEC_AT {
            codecs.push(left[CODEC_AT] & 7);
            let length = u32::from_be_bytes(left[8..12].try_into().unwrap());
            left = &left[12 + length as usize..];
        }
    }
    codecs
}

#[tokio::test(flavor = "multi_thread")]
async fn small_topics_get_small_batches_and_batches_of_every_codec_are_loaded() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let broker = tokio::task::spawn_blocking(move || Part::start("broker", &path, &[])).await.unwrap();
    let brokers = broker.address.to_string();
    create_topic(&brokers, "staging-bets", "60000").await;
    create_topic(&brokers, "staging-bets-dlq", "100000").await;
    let server = Server::start(&["--kafka-brokers", &brokers]).await;

    let receipt = server.upload(csv(0..30_000), "wait=visible").await.ok();
    assert_eq!((&receipt["accepted"], &receipt["state"]), (&json!(30_000), &json!("visible")), "{receipt:#}");

    let too_large = format!("{HEADER}\n{}{}\n", lines(30_000..30_010), "x".repeat(120_000));
    let problem = server.upload(too_large, "").await.problem(422, "row_too_large");
    assert_eq!(
        (&problem["line"], &problem["topic"], &problem["limit_bytes"]),
        (&json!(12), &json!("staging-bets-dlq"), &json!(100_000)),
        "{problem:#}"
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("max.message.bytes") && detail.contains("100000"), "{detail}");
    rounds(&server, 30_010).await;

    let schema = earlier_schema();
    let schema_id = register(&server, &schema).await;
    let schema = Schema::parse(&schema).unwrap();
    for (step, codec) in ["gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let first = 50_000 + 100 * step as i64;
        let messages: Vec<_> =
            (first..first + 100).map(|id| (id, message(schema_id, &schema, id, 25_000_000))).collect();
        let brokers = brokers.clone();
        tokio::task::spawn_blocking(move || produce(&brokers, codec, &messages)).await.unwrap();
    }
    let codecs = stored_codecs(directory.path());
    assert!((0..=4).all(|codec| codecs.contains(&codec)), "{codecs:?}");
    rounds(&server, 30_410).await;
    tokio::time::timeout(Duration::from_secs(60), server.until_ready()).await.expect("ready");
}
