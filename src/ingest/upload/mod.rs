//! One upload: a file's bytes, while they arrive, to records that the broker has acknowledged.
//!
//! The feeder ([`Uploader::run`]) takes the body piece by piece, counts and hashes it, and hands it through a bounded channel to
//! a thread that reads rows and produces them ([`job`]). A slow broker fills librdkafka's queue, which stops the thread, which
//! fills the channel, which stops the reading of the body: nothing is buffered without bound.

pub mod deliveries;
mod feed;
mod job;
pub mod producers;
pub mod under_way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use encoding_rs::Encoding;
use futures_util::Stream;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};

use self::job::{Job, Piece};
use self::producers::Producers;
use self::under_way::UnderWay;
use super::FileError;
use super::rows::Reject;
use crate::domain::columns::Columns;
use crate::kafka::Kafka;
use crate::settings::Limits;
use crate::warehouse::client::Warehouse;
use crate::warehouse::uploads::{self, FinishedUpload};

/// Pieces of a body that wait for the thread that reads rows.
const PIECES_IN_FLIGHT: usize = 8;

/// Where the rows go.
#[derive(Clone, Debug)]
pub struct Destination {
    pub columns: Arc<Columns>,
    /// Index of the column that identifies a round.
    pub key: usize,
    pub schema_id: u32,
    pub topic: String,
    pub dead_letter_topic: String,
}

/// Takes uploads.
#[derive(Debug)]
pub struct Uploader {
    destination: Destination,
    warehouse: Warehouse,
    producers: Producers,
    under_way: UnderWay,
    places: Arc<Semaphore>,
    limits: Limits,
    /// Directory for files that may have been here before.
    spool: std::path::PathBuf,
}

/// What the sender says about a file.
#[derive(Clone, Debug, Default)]
pub struct UploadOptions {
    pub file_name: String,
    pub encoding: Option<&'static Encoding>,
    /// Stop at the first row that is not valid.
    pub abort_on_reject: bool,
    /// Produce the rows though the same file was here before.
    pub force: bool,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// The broker has every row.
    Acknowledged,
    /// The rows are in the aggregates.
    Visible,
    /// The same bytes were here before: nothing was produced.
    Duplicate,
}

/// The answer to an upload.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    pub upload_id: String,
    pub file_name: String,
    /// Of the file as it was sent, in hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    pub encoding: String,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub schema_id: u32,
    pub topic: String,
    /// Columns of the file that are not ours.
    pub ignored_columns: Vec<String>,
    /// The first twenty.
    pub rejects: Vec<Reject>,
    pub state: UploadState,
    /// First and last offset, by partition.
    pub offsets: BTreeMap<u16, (i64, i64)>,
    pub seconds: f64,
}

/// How far a file had come when it was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub bytes: u64,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
}

/// Why an upload ended without a receipt. What was produced before stays; sending the file again is always safe.
#[derive(Debug, Error)]
pub enum UploadError {
    #[error("{source}")]
    File { source: FileError, progress: Progress },
    #[error("line {}: {}{}", .reject.line, column(.reject), .reject.reason)]
    Rejected { reject: Box<Reject>, progress: Progress },
    #[error("the file broke off after {} bytes and {} rows: {reason}", .progress.bytes, .progress.rows)]
    BrokenOff { reason: String, progress: Progress },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{limit} uploads are under way: try again when one has ended")]
    TooMany { limit: usize },
    #[error("the broker did not take the rows ({reason}): {} of them were acknowledged", .acknowledged)]
    Broker { reason: String, acknowledged: u64 },
    #[error("the upload could not be worked on: {0}")]
    Internal(String),
}

fn column(reject: &Reject) -> String {
    if reject.column.is_empty() { String::new() } else { format!("column {}: ", reject.column) }
}

impl Uploader {
    pub fn new(
        kafka: &Kafka,
        warehouse: Warehouse,
        destination: Destination,
        limits: &Limits,
        under_way: UnderWay,
        spool: std::path::PathBuf,
    ) -> Self {
        Self {
            destination,
            warehouse,
            producers: Producers::new(kafka, limits),
            under_way,
            places: Arc::new(Semaphore::new(limits.max_concurrent_uploads)),
            limits: limits.clone(),
            spool,
        }
    }

    /// Makes ready for the first upload, so that it need not wait for connections. Blocks.
    pub fn warm_up(&self) {
        if let Err(error) = self.producers.warm_up(&self.destination.topic) {
            tracing::warn!(%error, "the first upload will have to connect to the broker");
        }
    }

    /// Takes one file, and returns its receipt once the broker has acknowledged every row.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn run<S, E>(&self, options: UploadOptions, body: S) -> Result<Receipt, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let Ok(_place) = self.places.clone().try_acquire_owned() else {
            return Err(UploadError::TooMany { limit: self.limits.max_concurrent_uploads });
        };
        let started = Instant::now();
        let idle = Duration::from_secs(self.limits.upload_idle_seconds);
        let mut source = feed::Source::new(body, self.limits.max_upload_bytes, idle);
        let head = source.head().await?;
        if !options.force
            && let Some(duplicate) = self.find_duplicate(&mut source, &head).await?
        {
            return Ok(self.duplicate_receipt(&options, duplicate, started));
        }
        let upload_id = uuid::Uuid::now_v7();
        let under_way = self.under_way.begin();
        let outcome = self.produce(upload_id, &options, &mut source).await?;
        drop(under_way);
        let receipt = Receipt {
            upload_id: upload_id.to_string(),
            file_name: options.file_name,
            sha256: source.sha256(),
            bytes: source.bytes(),
            encoding: outcome.encoding.to_owned(),
            rows: outcome.progress.rows,
            accepted: outcome.progress.accepted,
            rejected: outcome.progress.rejected,
            schema_id: self.destination.schema_id,
            topic: self.destination.topic.clone(),
            ignored_columns: outcome.ignored_columns,
            rejects: outcome.rejects,
            state: UploadState::Acknowledged,
            offsets: outcome.offsets,
            seconds: started.elapsed().as_secs_f64(),
        };
        self.remember(&receipt, &head).await;
        Ok(receipt)
    }

    /// Feeds a file to a thread of its own that produces its rows.
    async fn produce<S, E>(
        &self,
        upload_id: uuid::Uuid,
        options: &UploadOptions,
        source: &mut feed::Source<S>,
    ) -> Result<job::Outcome, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let producer = self
            .producers
            .take()
            .map_err(|error| UploadError::Broker { reason: error.to_string(), acknowledged: 0 })?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let job = Job::new(
            self.destination.clone(),
            upload_id,
            options.clone(),
            self.limits.max_line_bytes,
            producer,
        );
        let job = tokio::task::spawn_blocking(move || job.run(receiver));
        let fed = async {
            while let Some(piece) = source.next().await? {
                if pieces.send(Piece::Bytes(piece)).await.is_err() {
                    // The job has ended, and says why.
                    return Ok(());
                }
            }
            // As above, if it fails.
            let _ = pieces.send(Piece::End).await;
            Ok::<_, UploadError>(())
        }
        .await;
        drop(pieces);
        let (outcome, producer) = job.await.map_err(|error| UploadError::Internal(error.to_string()))?;
        if let Some(producer) = producer {
            self.producers.give_back(producer);
        }
        match (fed, outcome) {
            (Ok(()), outcome) => outcome,
            (
                Err(UploadError::BrokenOff { reason, progress }),
                Err(UploadError::BrokenOff { progress: read, .. }),
            ) => Err(UploadError::BrokenOff { reason, progress: Progress { bytes: progress.bytes, ..read } }),
            (Err(error), _) => Err(error),
        }
    }

    /// Returns the earlier upload of the same bytes, if there is one. A file whose first bytes were here before is written
    /// to disk until the rest is known; one whose were not is left to be produced while it arrives.
    async fn find_duplicate<S, E>(
        &self,
        source: &mut feed::Source<S>,
        head: &str,
    ) -> Result<Option<FinishedUpload>, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let candidates = uploads::with_head(&self.warehouse, head).await.unwrap_or_else(|error| {
            // A file that is produced twice is still counted once.
            tracing::warn!(%error, "cannot look for earlier uploads of this file");
            Vec::new()
        });
        if candidates.is_empty() {
            return Ok(None);
        }
        source.spool(&self.spool).await?;
        let digest = source.sha256();
        Ok(candidates.into_iter().find(|upload| upload.sha256 == digest))
    }

    fn duplicate_receipt(
        &self,
        options: &UploadOptions,
        earlier: FinishedUpload,
        started: Instant,
    ) -> Receipt {
        Receipt {
            upload_id: earlier.upload_id,
            file_name: options.file_name.clone(),
            sha256: earlier.sha256,
            bytes: earlier.bytes,
            encoding: earlier.encoding,
            rows: earlier.rows,
            accepted: earlier.accepted,
            rejected: earlier.rejected,
            schema_id: self.destination.schema_id,
            topic: self.destination.topic.clone(),
            ignored_columns: Vec::new(),
            rejects: Vec::new(),
            state: UploadState::Duplicate,
            offsets: serde_json::from_str(&earlier.offsets).unwrap_or_default(),
            seconds: started.elapsed().as_secs_f64(),
        }
    }

    async fn remember(&self, receipt: &Receipt, head_sha256: &str) {
        if let Err(error) = uploads::add(&self.warehouse, receipt, head_sha256).await {
            tracing::warn!(%error, upload = receipt.upload_id, "the upload could not be noted: the same file would be produced again");
        }
    }
}
