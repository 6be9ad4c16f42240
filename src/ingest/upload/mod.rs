//! One upload: from the bytes of a file to records that the broker has acknowledged.
//!
//! The feeder ([`Uploader::run`]) reads the body piece by piece, counts and hashes it ([`mod@feed`]), and sends it through a bounded
//! channel to a thread ([`job`]). The thread reads rows, counts them ([`tally`]), produces them ([`producing`]) and updates the
//! ledger ([`record`], [`ledger`]). A slow broker fills librdkafka's queue, so the thread waits, the channel fills, and the body is not
//! read: every buffer has a limit. If the sender disconnects, the feeder ends but the thread does not, so the result of an upload is
//! always recorded. [`replay`] sends rejected rows again.

mod corrected;
pub mod deliveries;
mod error;
pub mod events;
mod feed;
mod job;
mod journal;
pub mod ledger;
mod one_line;
mod probe;
pub mod producers;
mod producing;
mod record;
pub mod replay;
mod slots;
mod tally;
pub mod under_way;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use self::slots::Slots;

pub use self::error::{Progress, UploadError, UploadFailure};
pub use self::job::Finished;
pub use self::tally::{MaxRejects, SHOWN_REJECTS};

use self::events::MAX_EVENT_REQUESTS;
use self::feed::Source;
use self::job::Job;
use self::ledger::{Ledger, MAX_WAITING};
use self::probe::Probe;
use self::producers::{Producer, Producers};
use self::producing::Producing;
use self::record::Record;
use self::slots::Slot;
use self::tally::{RowLimits, Tally};
use self::under_way::UnderWay;
use super::body::{BodyLimits, Stop};
use super::decode;
use super::pace::Pace;
use super::rows::{ReadOptions, RowReader};
use crate::dataset::Dataset;
use crate::disk::Disk;
use crate::domain::columns::Columns;
use crate::domain::time_zone::TimeZone;
use crate::kafka::Kafka;
use crate::registry::Registry;
use crate::settings::Limits;
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::LedgerRow;

/// Number of pieces that wait for the thread.
const PIECES_IN_FLIGHT: usize = 8;

/// Time for ClickHouse to say whether a file was uploaded before. After that the file is produced; its rounds count once anyway.
const DUPLICATE_PATIENCE: Duration = Duration::from_secs(5);

/// Time that an answer waits for the ledger in ClickHouse.
const LEDGER_PATIENCE: Duration = Duration::from_secs(2);

/// Where rows go: to the topics of a dataset, in its schema.
#[derive(Clone, Debug)]
pub struct Destination {
    pub dataset: Arc<Dataset>,
    pub schema_id: u32,
}

/// Runs uploads.
#[derive(Debug)]
pub struct Uploader {
    destination: Destination,
    pub ledger: Arc<Ledger>,
    producers: Arc<Producers>,
    probe: Probe,
    under_way: UnderWay,
    slots: Arc<Slots>,
    /// Those of requests with events.
    event_slots: Slots,
    limits: Limits,
    stop: Stop,
    storage: Storage,
}

/// The parts of the data directory that uploads use.
#[derive(Clone, Debug)]
pub struct Storage {
    /// A directory for files while earlier uploads of them are searched.
    pub spool: std::path::PathBuf,
    /// The disk of the embedded parts, checked before and during uploads.
    pub disk: Disk,
}

/// The options of an upload.
#[derive(Clone, Debug, Default)]
pub struct UploadOptions {
    pub file_name: String,
    pub read: ReadOptions,
    /// Stop at the first rejected row.
    pub abort_on_reject: bool,
    /// Stop if more rows are rejected.
    pub max_rejects: Option<MaxRejects>,
    /// Produce the rows even if the same file was uploaded before.
    pub force: bool,
    /// Produce nothing.
    pub validate_only: bool,
    /// The rows belong to a repair: see [`crate::wire::headers::REPAIR`].
    pub is_repair: bool,
}

/// The result of an upload.
#[derive(Debug)]
pub enum Outcome {
    /// The broker has every row.
    Acknowledged(Finished),
    /// This upload had the same bytes before: nothing was produced.
    Duplicate(LedgerRow),
    /// The file was only validated.
    Validated(Finished),
}

impl Uploader {
    /// Creates an uploader. [`Uploader::run`] runs an upload.
    pub fn new(
        kafka: &Kafka,
        registry: Registry,
        ledger: Arc<Ledger>,
        destination: Destination,
        limits: &Limits,
        (under_way, slots, stop): (UnderWay, Arc<Slots>, Stop),
        storage: Storage,
    ) -> Self {
        let producers = Arc::new(Producers::new(kafka, &destination.dataset, limits));
        Self {
            probe: Probe::new(producers.clone(), registry, destination.dataset.topic.clone()),
            destination,
            ledger,
            producers,
            under_way,
            slots,
            event_slots: Slots::new(MAX_EVENT_REQUESTS, limits.upload_crowded_bytes_per_second),
            limits: limits.clone(),
            stop,
            storage,
        }
    }

    /// Returns the number of uploads that have a slot: all whose first bytes have arrived.
    pub fn under_way(&self) -> usize {
        self.slots.held()
    }

    /// Connects to the broker, so that the first upload does not have to.
    pub async fn warm_up(&self) {
        if let Err(error) = self.producers.warm_up().await {
            tracing::warn!(%error, "the first upload will have to connect to the broker");
        }
    }

    /// Returns the dataset whose rows it takes.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.destination.dataset
    }

    /// Returns the columns of a row.
    pub fn columns(&self) -> &Columns {
        &self.destination.dataset.columns
    }

    /// Returns the topic of the valid rows.
    pub fn topic(&self) -> &str {
        &self.destination.dataset.topic
    }

    /// Returns an upload of the dataset.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn upload(&self, id: Uuid) -> Result<Option<LedgerRow>, WarehouseError> {
        self.ledger.get(&self.dataset().name, id).await
    }

    /// Uploads one file. Returns once the broker has acknowledged every row.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn run<S, E>(&self, options: UploadOptions, body: S) -> Result<Outcome, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let started = Instant::now();
        let mut source = self.source(body);
        let head = source.head().await;
        let head = head.map_err(|error| UploadFailure::early(error, source.bytes()))?;
        let bytes = source.bytes();
        let early = |error| UploadFailure::early(error, bytes);
        // A repair waits for ClickHouse, not for a client.
        let pace = (!options.is_repair).then(|| Arc::clone(source.pace()));
        let slot = self.slot(pace).await.map_err(early)?;
        if !options.validate_only {
            self.storage.disk.check().map_err(|full| UploadFailure::early(full, bytes))?;
            self.check_ledger()?;
            self.probe.check().await.map_err(early)?;
        }
        if !options.force && !options.validate_only {
            let duplicate = self.find_duplicate(&mut source, &head, &options.read).await;
            if let Some(row) = duplicate.map_err(|error| UploadFailure::early(error, source.bytes()))? {
                self.ledger.metrics().see_duplicate();
                return Ok(Outcome::Duplicate(row));
            }
        }
        let finished = self.work_on(&options, head, started, slot, &mut source).await?;
        if options.validate_only {
            return Ok(Outcome::Validated(finished));
        }
        Ok(Outcome::Acknowledged(finished))
    }

    /// Waits for a slot, unless the server stops.
    async fn slot(&self, pace: Option<Arc<Pace>>) -> Result<Slot, UploadError> {
        let slot = self.stop.begun.run_until_cancelled(self.slots.take(pace)).await;
        slot.unwrap_or(Err(UploadError::Stopping))
    }

    /// Wraps a body for an upload.
    fn source<S, E>(&self, body: S) -> Source<S>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        Source::new(body, BodyLimits::of(&self.limits), self.stop.clone())
    }

    /// Runs a job on its own thread, and then returns its producer and its slot.
    fn spawn<T: Send + 'static>(
        &self,
        slot: Slot,
        run: impl FnOnce() -> (T, Option<Producer>) + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_with((self.under_way.begin(), slot), run)
    }

    /// As [`spawn`](Self::spawn), and drops `held` at the end.
    fn spawn_with<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        run: impl FnOnce() -> (T, Option<Producer>) + Send + 'static,
    ) -> JoinHandle<T> {
        let producers = self.producers.clone();
        tokio::task::spawn_blocking(move || {
            let (outcome, producer) = run();
            match producer {
                Some(producer) => producers.give_back(producer),
                // Perhaps a topic accepts smaller messages than before.
                None => producers.forget_limits(),
            }
            drop(held);
            outcome
        })
    }

    /// Sends a file to its own thread, which holds the slot of the upload until it ends.
    async fn work_on<S, E>(
        &self,
        options: &UploadOptions,
        head_sha256: String,
        started: Instant,
        slot: Slot,
        source: &mut Source<S>,
    ) -> Result<Finished, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let upload_id = Uuid::now_v7();
        let job = self.job(upload_id, options, head_sha256, started);
        let job = job.map_err(|error| UploadFailure::early(error, source.bytes()))?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let job = self.spawn(slot, move || job.run(receiver));
        source.feed(&pieces).await;
        drop(pieces);
        let outcome = job.await.unwrap_or_else(|error| {
            Err(UploadFailure::early(UploadError::Internal(error.to_string()), source.bytes()))
        });
        if !options.validate_only && !self.ledger.is_safe(upload_id, LEDGER_PATIENCE).await && outcome.is_ok()
        {
            return Err(UploadFailure::early(UploadError::NotSaved, source.bytes()));
        }
        outcome
    }

    /// Checks that one more upload can be recorded.
    fn check_ledger(&self) -> Result<(), UploadFailure> {
        match self.ledger.is_full() {
            true => Err(UploadFailure::early(UploadError::LedgerFull { limit: MAX_WAITING }, 0)),
            false => Ok(()),
        }
    }

    fn job(
        &self,
        upload_id: Uuid,
        options: &UploadOptions,
        head_sha256: String,
        started: Instant,
    ) -> Result<Job, UploadError> {
        let Destination { dataset, schema_id } = &self.destination;
        let row = LedgerRow {
            upload_id,
            dataset: dataset.name.clone(),
            file_name: options.file_name.clone(),
            head_sha256,
            decimal: options.read.decimal_name().to_owned(),
            columns: options.read.columns.to_string(),
            timezone: options.read.time_zone_name().to_owned(),
            schema_id: *schema_id,
            topic: dataset.topic.clone(),
            ..LedgerRow::default()
        };
        let reader =
            RowReader::new(dataset.columns.clone(), options.read.clone(), self.limits.max_line_bytes);
        let output = match options.validate_only {
            true => None,
            false => Some(self.producing(Some(upload_id), options.is_repair)?),
        };
        let ledger = output.is_some().then(|| self.ledger.clone());
        let record = Record::begin(row, ledger, started);
        Ok(Job::new(reader.for_upload(upload_id), Tally::new(self.row_limits(options)), output, record))
    }

    /// `upload_id`: none for events.
    fn producing(&self, upload_id: Option<Uuid>, is_repair: bool) -> Result<Producing, UploadError> {
        let producer = self.producers.take();
        let producer = producer.map_err(|error| UploadError::Broker { reason: error.to_string() })?;
        Ok(Producing::new(
            self.destination.clone(),
            upload_id,
            is_repair,
            producer,
            self.storage.disk.clone(),
        ))
    }

    fn row_limits(&self, options: &UploadOptions) -> RowLimits {
        RowLimits {
            rows: self.limits.max_upload_rows,
            rejects: self.limits.max_upload_rejects,
            max_rejects: options.max_rejects,
            abort_on_reject: options.abort_on_reject,
        }
    }

    /// Returns the earlier upload of the same bytes, read in the same way, if there is one. If an earlier file began with the same
    /// bytes, this one is written to disk until all of it is known; otherwise it is produced while it arrives.
    async fn find_duplicate<S, E>(
        &self,
        source: &mut Source<S>,
        head: &str,
        read: &ReadOptions,
    ) -> Result<Option<LedgerRow>, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let candidates =
            match tokio::time::timeout(DUPLICATE_PATIENCE, self.ledger.with_head(&self.dataset().name, head))
                .await
            {
                Ok(Ok(candidates)) => candidates,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot look for earlier uploads of this file in ClickHouse");
                    self.ledger.kept_with_head(&self.dataset().name, head)
                }
                Err(_) => {
                    tracing::warn!(
                        "cannot look for earlier uploads of this file in ClickHouse: no answer in time"
                    );
                    self.ledger.kept_with_head(&self.dataset().name, head)
                }
            };
        if candidates.is_empty() {
            return Ok(None);
        }
        let encoding = decode::named(source.first_bytes(), read.encoding);
        source.spool(&self.storage).await?;
        let digest = source.sha256();
        let columns = read.columns.to_string();
        let is_same = |upload: &LedgerRow| {
            upload.sha256 == digest
                && encoding.is_none_or(|encoding| upload.encoding == encoding.name())
                && read.format.may_be(&upload.format)
                && upload.decimal == read.decimal_name()
                && upload.columns == columns
                && TimeZone::is_same(&upload.timezone, read.time_zone_name())
        };
        for upload in candidates.into_iter().filter(is_same) {
            // Lost rows are sent again; stored ones count once.
            if !self.ledger.has_lost_rows(&upload, DUPLICATE_PATIENCE).await {
                return Ok(Some(upload));
            }
        }
        Ok(None)
    }
}
