//! The thread that reads a file's rows and produces them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::deliveries::Deliveries;
use super::producers::Producer;
use super::{Destination, Progress, UploadError, UploadOptions};
use crate::domain::value::Value;
use crate::ingest::avro;
use crate::ingest::rows::{Reject, Row, RowReader, RowSink, RowsError};

/// Rejects that the answer shows.
const SHOWN_REJECTS: usize = 20;

/// What the feeder hands over.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// The file is whole. A channel that closes without this says that it is not.
    End,
}

/// What came of a file.
#[derive(Debug)]
pub struct Outcome {
    pub encoding: &'static str,
    pub ignored_columns: Vec<String>,
    pub progress: Progress,
    pub rejects: Vec<Reject>,
    pub offsets: BTreeMap<u16, (i64, i64)>,
}

/// One file on its way.
pub struct Job {
    reader: RowReader,
    producing: Producing,
    bytes: u64,
}

impl Job {
    pub fn new(
        destination: Destination,
        upload_id: Uuid,
        options: UploadOptions,
        max_line_bytes: usize,
        producer: Producer,
    ) -> Self {
        let reader = RowReader::new(destination.columns.clone(), options.encoding, max_line_bytes)
            .for_upload(upload_id);
        let producing = Producing {
            destination,
            upload_id: upload_id.to_string(),
            abort_on_reject: options.abort_on_reject,
            producer,
            rounds: Arc::default(),
            dead_letters: Arc::default(),
            accepted: 0,
            rejected: 0,
            rejects: Vec::new(),
            key: String::new(),
            message: Vec::new(),
        };
        Self { reader, producing, bytes: 0 }
    }

    /// Reads and produces until the file ends, and waits for all acknowledgements. Gives the producer back unless it may
    /// still hold records. Blocks.
    pub fn run(
        mut self,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> (Result<Outcome, UploadError>, Option<Producer>) {
        let result = self.read(&mut pieces).and_then(|()| self.producing.finish());
        drop(pieces);
        let outcome = result.map(|()| Outcome {
            encoding: self.reader.encoding().unwrap_or_default(),
            ignored_columns: self.reader.header().map(|header| header.ignored.clone()).unwrap_or_default(),
            progress: self.progress(),
            offsets: self.producing.rounds.offsets(),
            rejects: std::mem::take(&mut self.producing.rejects),
        });
        let producer = outcome.is_ok().then_some(self.producing.producer);
        (outcome, producer)
    }

    fn read(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> Result<(), UploadError> {
        while let Some(piece) = pieces.blocking_recv() {
            let (bytes, last) = match &piece {
                Piece::Bytes(bytes) => (bytes.as_ref(), false),
                Piece::End => (&[][..], true),
            };
            self.bytes += bytes.len() as u64;
            self.reader.push(bytes, last, &mut self.producing).map_err(|error| match error {
                RowsError::File(source) => UploadError::File { source, progress: self.progress() },
                RowsError::Sink(Stop::Rejected(reject)) => {
                    UploadError::Rejected { reject, progress: self.progress() }
                }
                RowsError::Sink(Stop::Broker(reason)) => self.producing.failed(reason),
            })?;
            if last {
                return Ok(());
            }
        }
        Err(UploadError::BrokenOff { reason: "the sender went away".to_owned(), progress: self.progress() })
    }

    fn progress(&self) -> Progress {
        let Producing { accepted, rejected, .. } = self.producing;
        Progress { bytes: self.bytes, rows: accepted + rejected, accepted, rejected }
    }
}

/// Why no further row is taken.
enum Stop {
    Rejected(Box<Reject>),
    Broker(String),
}

/// Produces rows: valid ones to the topic, the others to the dead-letter topic.
struct Producing {
    destination: Destination,
    upload_id: String,
    abort_on_reject: bool,
    producer: Producer,
    rounds: Arc<Deliveries>,
    dead_letters: Arc<Deliveries>,
    accepted: u64,
    rejected: u64,
    /// The first ones.
    rejects: Vec<Reject>,
    /// Reused from row to row.
    key: String,
    message: Vec<u8>,
}

impl RowSink for Producing {
    type Error = Stop;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Stop> {
        use std::fmt::Write;
        self.key.clear();
        if let Some(Value::Long(id)) = row.values.get(self.destination.key) {
            // Writing to a String cannot fail.
            let _ = write!(self.key, "{id}");
        }
        self.message.clear();
        let Destination { columns, schema_id, topic, .. } = &self.destination;
        avro::encode(*schema_id, columns, row.values, row.buffer, &mut self.message);
        let record =
            BaseRecord::with_opaque_to(topic, self.rounds.clone()).key(&self.key).payload(&self.message);
        send(&self.producer, record, &self.rounds)?;
        self.accepted += 1;
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Stop> {
        let (line, byte_offset) = (reject.line.to_string(), reject.byte_offset.to_string());
        let headers = [
            ("upload_id", self.upload_id.as_str()),
            ("line", &line),
            ("byte_offset", &byte_offset),
            ("column", &reject.column),
            ("code", reject.code),
            ("reason", &reject.reason),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record =
            BaseRecord::with_opaque_to(&self.destination.dead_letter_topic, self.dead_letters.clone())
                .key(&self.upload_id)
                .payload(raw)
                .headers(headers);
        send(&self.producer, record, &self.dead_letters)?;
        self.rejected += 1;
        if self.abort_on_reject {
            return Err(Stop::Rejected(Box::new(reject)));
        }
        if self.rejects.len() < SHOWN_REJECTS {
            self.rejects.push(reject);
        }
        Ok(())
    }
}

impl Producing {
    /// Waits until every record is acknowledged.
    fn finish(&self) -> Result<(), UploadError> {
        self.rounds.wait_for(self.accepted);
        self.dead_letters.wait_for(self.rejected);
        match self.rounds.error().or(self.dead_letters.error()) {
            Some(reason) => Err(self.failed(reason)),
            None => Ok(()),
        }
    }

    fn failed(&self, reason: String) -> UploadError {
        UploadError::Broker { reason, acknowledged: self.rounds.acknowledged() }
    }
}

/// Gives a record to librdkafka, and waits while its queue is full, as long as the broker still takes records.
fn send<K, P>(
    producer: &Producer,
    mut record: BaseRecord<'_, K, P, Arc<Deliveries>>,
    deliveries: &Deliveries,
) -> Result<(), Stop>
where
    K: rdkafka::message::ToBytes + ?Sized,
    P: rdkafka::message::ToBytes + ?Sized,
{
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                if let Some(reason) = deliveries.error() {
                    return Err(Stop::Broker(reason));
                }
                deliveries.wait_for_room();
                record = refused;
            }
            Err((error, _)) => return Err(Stop::Broker(error.to_string())),
        }
    }
}
