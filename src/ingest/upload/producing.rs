//! Produces rows: valid ones to the topic, the others to the dead letter topic.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use uuid::Uuid;

use super::deliveries::Deliveries;
use super::producers::Producer;
use super::{Destination, UploadError};
use crate::dataset::Dataset;
use crate::disk::Disk;
use crate::domain::value::Value;
use crate::ingest::rows::{Reject, Row};
use crate::warehouse::uploads::Offsets;
use crate::wire::{avro, headers as names};

/// Time for the records of an upload that a full disk stops: a broker that cannot write does not answer.
const FULL_DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Size of a batch with one record without its key, value and headers: 61 bytes of the batch, and at most 5 for each of 5 lengths.
const MAX_FRAME_BYTES: usize = 86;

/// Size of a header without its name and value.
const MAX_HEADER_BYTES: usize = 10;

/// Produces the rows of one upload.
pub struct Producing {
    destination: Destination,
    /// Empty for events.
    upload_id: String,
    is_repair: bool,
    producer: Producer,
    /// The disk of the embedded parts.
    disk: Disk,
    rounds: Arc<Deliveries>,
    dead_letters: Arc<Deliveries>,
    /// Number of records given to librdkafka.
    sent: (u64, u64),
    /// Reused from row to row.
    key: Vec<u8>,
    message: Vec<u8>,
}

impl Producing {
    /// The queue of `producer` must be empty.
    pub fn new(
        destination: Destination,
        upload_id: Option<Uuid>,
        is_repair: bool,
        producer: Producer,
        disk: Disk,
    ) -> Self {
        Self {
            destination,
            upload_id: upload_id.map(|id| id.to_string()).unwrap_or_default(),
            is_repair,
            producer,
            disk,
            rounds: Arc::default(),
            dead_letters: Arc::default(),
            sent: (0, 0),
            key: Vec::new(),
            message: Vec::new(),
        }
    }

    /// Returns the producer. Its queue is empty once [`Producing::finish`] has returned true.
    pub fn into_producer(self) -> Producer {
        self.producer
    }

    /// Returns the number of rows that the broker has.
    pub fn acknowledged(&self) -> u64 {
        self.rounds.acknowledged()
    }

    /// Returns the first and last offset by partition, of the topic and of the dead letter topic.
    pub fn offsets(&self) -> (Offsets, Offsets) {
        (self.rounds.offsets(), self.dead_letters.offsets())
    }

    /// Produces a valid row.
    ///
    /// # Errors
    /// The broker does not accept it.
    pub fn accept(&mut self, row: Row<'_>) -> Result<(), UploadError> {
        let Destination { dataset, schema_id } = &self.destination;
        let topic = &dataset.topic;
        self.key.clear();
        write_key(dataset, row, &mut self.key);
        self.message.clear();
        avro::encode(*schema_id, &dataset.columns, row.values, row.buffer, &mut self.message);
        let headers = if self.is_repair { names::REPAIR.len() + MAX_HEADER_BYTES } else { 0 };
        let bytes = message_bytes(&self.key, &self.message, headers);
        check_size(row.line, topic, bytes, self.producer.limits.rounds)?;
        let mut record = BaseRecord::with_opaque_to(topic, self.rounds.clone()).payload(&self.message);
        if !dataset.partition_by.is_empty() {
            record = record.key(&self.key);
        }
        if self.is_repair {
            let header = Header { key: names::REPAIR, value: Some("1") };
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        self.send(record, &self.rounds)?;
        self.sent.0 += 1;
        Ok(())
    }

    /// Produces a dead letter; `raw` is the whole line.
    ///
    /// # Errors
    /// The broker does not accept it.
    pub fn reject(&mut self, reject: &Reject, raw: &str) -> Result<(), UploadError> {
        let (line, byte_offset) = (reject.line.to_string(), reject.byte_offset.to_string());
        // Text is always JSON.
        let faults = serde_json::to_string(&reject.faults).unwrap_or_default();
        let mut headers = vec![
            (names::UPLOAD_ID, self.upload_id.as_str()),
            (names::LINE, &line),
            (names::BYTE_OFFSET, &byte_offset),
            (names::COLUMN, &reject.first.column),
            (names::CODE, reject.first.code),
            (names::REASON, &reject.first.reason),
            (names::FAULTS, &faults),
        ];
        let topic = &self.destination.dataset.dead_letter_topic;
        let limit = self.producer.limits.dead_letters;
        let bytes =
            |headers: &[_]| message_bytes(self.upload_id.as_bytes(), raw.as_bytes(), header_bytes(headers));
        // Better a dead letter with its first fault only than none.
        if bytes(&headers) > limit {
            headers.pop();
        }
        check_size(reject.line, topic, bytes(&headers), limit)?;
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = BaseRecord::with_opaque_to(topic, self.dead_letters.clone())
            .key(&self.upload_id)
            .payload(raw)
            .headers(headers);
        self.send(record, &self.dead_letters)?;
        self.sent.1 += 1;
        Ok(())
    }

    /// Checks that the disk has space for more rows.
    ///
    /// # Errors
    /// Less than the reserve is free.
    pub fn check_disk(&self) -> Result<(), UploadError> {
        Ok(self.disk.check()?)
    }

    /// Waits until the broker has every record, or has failed to accept one in time. Does not wait if reading has `ended` because the broker
    /// accepts no records. Returns whether the queue is empty.
    ///
    /// # Errors
    /// The broker has not accepted a record.
    pub fn finish(&self, ended: Option<&UploadError>) -> Result<bool, UploadError> {
        let deadline = match ended {
            Some(UploadError::Broker { .. } | UploadError::ServiceDiskFull { .. }) => return Ok(false),
            Some(UploadError::DiskFull(_)) => Some(Instant::now() + FULL_DISK_PATIENCE),
            _ => None,
        };
        let all = self.rounds.wait_for(self.sent.0, deadline);
        let all = self.dead_letters.wait_for(self.sent.1, deadline) && all;
        match self.rounds.error().or_else(|| self.dead_letters.error()) {
            Some(error) => Err(self.not_taken(error)),
            None if !all => {
                Err(UploadError::Broker { reason: "it has not accepted all rows in time".to_owned() })
            }
            None => Ok(true),
        }
    }

    /// Gives a record to librdkafka. Waits while its queue is full, as long as the broker still accepts records.
    fn send<K, P>(
        &self,
        mut record: BaseRecord<'_, K, P, Arc<Deliveries>>,
        deliveries: &Deliveries,
    ) -> Result<(), UploadError>
    where
        K: rdkafka::message::ToBytes + ?Sized,
        P: rdkafka::message::ToBytes + ?Sized,
    {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    if let Some(error) = deliveries.error() {
                        return Err(self.not_taken(error));
                    }
                    self.check_disk()?;
                    deliveries.wait_for_room();
                    record = refused;
                }
                Err((error, _)) => return Err(self.not_taken(error.into())),
            }
        }
    }

    /// Says why the broker has not accepted a record. librdkafka retries after a full disk until the record is too old, and then reports its
    /// age. The disk of the embedded broker can be checked here.
    fn not_taken(&self, error: UploadError) -> UploadError {
        match error {
            UploadError::Broker { .. } => self.check_disk().err().unwrap_or(error),
            error => error,
        }
    }
}

/// Writes the key of a message: the values that choose its partition, separated by slashes. A decimal is written unscaled, a time in
/// its unit since 1970, and an enum as its position: a key is compared, not shown.
fn write_key(dataset: &Dataset, row: Row<'_>, key: &mut Vec<u8>) {
    for at in &dataset.partition_by {
        let Some(value) = row.values.get(*at) else { continue };
        if !key.is_empty() {
            key.push(b'/');
        }
        // Writing to a Vec cannot fail.
        let _ = match *value {
            Value::Null => Ok(()),
            Value::Boolean(is_true) => write!(key, "{is_true}"),
            Value::Int(number) | Value::Date(number) => write!(key, "{number}"),
            Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number) => {
                write!(key, "{number}")
            }
            Value::Double(number) => write!(key, "{number}"),
            Value::Decimal(unscaled) => write!(key, "{unscaled}"),
            Value::Enum(symbol) => write!(key, "{symbol}"),
            Value::Text { .. } => key.write_all(value.text(row.buffer)),
            Value::Uuid(uuid) => write!(key, "{}", Uuid::from_u128(uuid)),
        };
    }
}

/// Returns the size of a batch with one record as the broker counts it, or a few bytes more.
fn message_bytes(key: &[u8], value: &[u8], headers: usize) -> usize {
    MAX_FRAME_BYTES + key.len() + value.len() + headers
}

fn header_bytes(headers: &[(&str, &str)]) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.len() + MAX_HEADER_BYTES).sum()
}

fn check_size(line: u64, topic: &str, bytes: usize, limit: usize) -> Result<(), UploadError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(UploadError::RowTooLarge { line, topic: topic.to_owned(), bytes, limit })
}
