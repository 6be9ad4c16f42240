//! The upper limit: librdkafka alone produces messages that are already in memory.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use roundhouse::domain::columns::Columns;
use roundhouse::domain::value::Value;
use roundhouse::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink};
use roundhouse::ingest::upload::producers;
use roundhouse::kafka::Kafka;
use roundhouse::settings::{Cli, Command};
use roundhouse::wire::avro;
use uuid::Uuid;

use super::machine::{Stopwatch, Usage};
use crate::harness::server::Server;

const SCHEMA: &str = include_str!("../../schemas/bets.avsc");
const PARTITIONS: u16 = 4;

/// How a message says which upload and line it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provenance {
    /// In two fields of the Avro record, like uploads.
    Fields,
    /// In a Kafka header with the same twenty bytes.
    Header,
    /// Not at all.
    None,
}

impl Provenance {
    pub const ALL: [Self; 3] = [Self::Fields, Self::Header, Self::None];

    pub fn describe(self) -> &'static str {
        match self {
            Self::Fields => "the limit: librdkafka alone, the same messages from memory",
            Self::Header => "librdkafka alone, upload and line in a header instead",
            Self::None => "librdkafka alone, without upload and line",
        }
    }
}

/// Keys and values, stored one after the other.
pub struct Messages {
    bytes: Vec<u8>,
    /// Where the key and the value of each message end.
    ends: Vec<(usize, usize)>,
    provenance: Provenance,
    columns: Columns,
    key: usize,
}

impl RowSink for Messages {
    type Error = Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Infallible> {
        let Value::Long(id) = row.values[self.key] else { panic!("no id") };
        self.bytes.extend_from_slice(id.to_string().as_bytes());
        let key_end = self.bytes.len();
        avro::encode(1, &self.columns, row.values, row.buffer, &mut self.bytes);
        self.ends.push((key_end, self.bytes.len()));
        Ok(())
    }

    fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Infallible> {
        panic!("{reject:?}")
    }
}

impl Messages {
    pub fn read(path: &Path, provenance: Provenance) -> Self {
        let schema = match provenance {
            Provenance::Fields => SCHEMA.to_owned(),
            Provenance::Header | Provenance::None => without_provenance(),
        };
        let columns = Columns::parse(&schema).expect("the schema");
        let key = columns.single_key().expect("a key");
        let mut messages =
            Self { bytes: Vec::new(), ends: Vec::new(), provenance, columns: columns.clone(), key };
        let file = std::fs::read(path).expect("the file");
        let mut reader =
            RowReader::new(Arc::new(columns), ReadOptions::default(), 1 << 20).for_upload(Uuid::now_v7());
        for piece in file.chunks(1 << 16) {
            reader.push(piece, false, &mut messages).expect("rows");
        }
        reader.push(&[], true, &mut messages).expect("rows");
        messages
    }
}

/// Returns the schema without the fields that an upload fills in.
fn without_provenance() -> String {
    let mut schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    schema["fields"].as_array_mut().expect("fields").retain(|field| field.get("source").is_none());
    schema.to_string()
}

/// Produces messages to their own topic, and waits for all acknowledgements.
pub async fn produce(server: &Server, topic: &str, messages: Messages) -> Usage {
    let kafka = Kafka::new(&server.addresses.kafka_brokers);
    kafka.ensure_topic(topic, PARTITIONS).await.expect("a topic");
    let cli = Cli::try_parse_from(["roundhouse", "serve"]).expect("options");
    let Command::Serve(options) = cli.command else { panic!("not serve") };
    let config = producers::config(&kafka, &options.limits);
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.client().fetch_metadata(Some(topic), Duration::from_secs(10)).expect("metadata");
    let topic = topic.to_owned();
    let stopwatch = Stopwatch::start(server);
    tokio::task::spawn_blocking(move || send_all(&producer, &topic, &messages)).await.expect("send");
    stopwatch.read(server)
}

fn send_all(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, messages: &Messages) {
    let mut start = 0;
    for &(key_end, end) in &messages.ends {
        let (key, value) = (&messages.bytes[start..key_end], &messages.bytes[key_end..end]);
        start = end;
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        if messages.provenance == Provenance::Header {
            let header = Header { key: "u", value: Some(&[7_u8; 20][..]) };
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    std::thread::sleep(Duration::from_millis(1));
                    record = refused;
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }
    producer.flush(Duration::from_secs(120)).expect("all acknowledged");
}
