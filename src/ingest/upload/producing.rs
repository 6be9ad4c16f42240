//! Rows to the broker: valid ones to the topic, the others to the dead-letter topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use uuid::Uuid;

use super::deliveries::Deliveries;
use super::producers::Producer;
use super::{Destination, UploadError};
use crate::disk::Disk;
use crate::domain::value::Value;
use crate::ingest::avro;
use crate::ingest::rows::{Reject, Row};
use crate::warehouse::uploads::Offsets;

/// The header of a row that a repair produces. Its hour may count it already, or be wrong in other ways: whoever loads it makes
/// the hour the sum of its rounds, instead of adding to it.
pub const REPAIR_HEADER: &str = "roundhouse-repair";

/// How long the records of an upload that is stopped by a full disk may take: a broker that cannot write answers nothing.
const FULL_DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a batch with one record, besides its key, value and headers: 61 of the batch, and 5 for each of 5 lengths at most.
const MAX_FRAME_BYTES: usize = 86;

/// Bytes of a header besides its name and value.
const MAX_HEADER_BYTES: usize = 10;

/// Produces the rows of one upload.
pub struct Producing {
    destination: Destination,
    upload_id: String,
    is_repair: bool,
    producer: Producer,
    /// Where the embedded parts keep what is produced.
    disk: Disk,
    rounds: Arc<Deliveries>,
    dead_letters: Arc<Deliveries>,
    /// Records given to librdkafka.
    sent: (u64, u64),
    /// Reused from row to row.
    key: String,
    message: Vec<u8>,
}

impl Producing {
    /// `producer`: one with an empty queue.
    pub fn new(
        destination: Destination,
        upload_id: Uuid,
        is_repair: bool,
        producer: Producer,
        disk: Disk,
    ) -> Self {
        Self {
            destination,
            upload_id: upload_id.to_string(),
            is_repair,
            producer,
            disk,
            rounds: Arc::default(),
            dead_letters: Arc::default(),
            sent: (0, 0),
            key: String::new(),
            message: Vec::new(),
        }
    }

    /// Gives the producer back: with an empty queue, once [`Producing::finish`] has returned.
    pub fn into_producer(self) -> Producer {
        self.producer
    }

    /// Rows that the broker has.
    pub fn acknowledged(&self) -> u64 {
        self.rounds.acknowledged()
    }

    /// First and last offset by partition, of the topic and of the dead letters.
    pub fn offsets(&self) -> (Offsets, Offsets) {
        (self.rounds.offsets(), self.dead_letters.offsets())
    }

    /// Produces a valid row.
    ///
    /// # Errors
    /// The broker does not take it.
    pub fn accept(&mut self, row: Row<'_>) -> Result<(), UploadError> {
        use std::fmt::Write;
        self.key.clear();
        if let Some(Value::Long(id)) = row.values.get(self.destination.key) {
            // Writing to a String cannot fail.
            let _ = write!(self.key, "{id}");
        }
        self.message.clear();
        let Destination { columns, schema_id, topic, .. } = &self.destination;
        avro::encode(*schema_id, columns, row.values, row.buffer, &mut self.message);
        let headers = if self.is_repair { REPAIR_HEADER.len() + MAX_HEADER_BYTES } else { 0 };
        let bytes = message_bytes(&self.key, &self.message, headers);
        check_size(row.line, topic, bytes, self.producer.limits.rounds)?;
        let mut record =
            BaseRecord::with_opaque_to(topic, self.rounds.clone()).key(&self.key).payload(&self.message);
        if self.is_repair {
            let header = Header { key: REPAIR_HEADER, value: Some("1") };
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        self.send(record, &self.rounds)?;
        self.sent.0 += 1;
        Ok(())
    }

    /// Produces a dead letter; `raw` is the whole line.
    ///
    /// # Errors
    /// The broker does not take it.
    pub fn reject(&mut self, reject: &Reject, raw: &str) -> Result<(), UploadError> {
        let (line, byte_offset) = (reject.line.to_string(), reject.byte_offset.to_string());
        let headers = [
            ("upload_id", self.upload_id.as_str()),
            ("line", &line),
            ("byte_offset", &byte_offset),
            ("column", &reject.column),
            ("code", reject.code),
            ("reason", &reject.reason),
        ];
        let header_bytes =
            headers.iter().map(|(key, value)| key.len() + value.len() + MAX_HEADER_BYTES).sum::<usize>();
        let topic = &self.destination.dead_letter_topic;
        let bytes = message_bytes(&self.upload_id, raw.as_bytes(), header_bytes);
        check_size(reject.line, topic, bytes, self.producer.limits.dead_letters)?;
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

    /// Checks that there is room for more rows.
    ///
    /// # Errors
    /// Less is free on the disk than is kept in reserve.
    pub fn check_disk(&self) -> Result<(), UploadError> {
        Ok(self.disk.check()?)
    }

    /// Waits until the broker has every record, or has not taken one in time; not, if reading has `ended` because it takes none. Returns
    /// whether no record is under way any more.
    ///
    /// # Errors
    /// It has not taken one.
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
                Err(UploadError::Broker { reason: "it has not taken all rows in time".to_owned() })
            }
            None => Ok(true),
        }
    }

    /// Gives a record to librdkafka, and waits while its queue is full, as long as the broker still takes records.
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

    /// Says why the broker has not taken a record. The embedded broker's disk is ours; librdkafka retries what a full disk fails
    /// until the record is too old, and then reports that.
    fn not_taken(&self, error: UploadError) -> UploadError {
        match error {
            UploadError::Broker { .. } => self.check_disk().err().unwrap_or(error),
            error => error,
        }
    }
}

/// Returns the bytes of a batch with one record, as the broker counts them: a few more at most.
fn message_bytes(key: &str, value: &[u8], headers: usize) -> usize {
    MAX_FRAME_BYTES + key.len() + value.len() + headers
}

fn check_size(line: u64, topic: &str, bytes: usize, limit: usize) -> Result<(), UploadError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(UploadError::RowTooLarge { line, topic: topic.to_owned(), bytes, limit })
}
