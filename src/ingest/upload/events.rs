//! Events: rows that a program sends many times a second. They are read, produced and acknowledged like the rows of a file, but they are
//! no upload: the ledger does not know them, and the loader does not wait for them.

use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::feed::Source;
use super::job::{Finished, Job};
use super::record::Record;
use super::tally::{RowLimits, Tally};
use super::{PIECES_IN_FLIGHT, UploadError, UploadFailure, Uploader};
use crate::ingest::FileError;
use crate::ingest::body::BodyLimits;
use crate::ingest::rows::{ReadOptions, RowReader};
use crate::warehouse::uploads::LedgerRow;

/// Bytes of a request, decompressed.
pub const MAX_EVENTS_BYTES: u64 = 16 << 20;

/// Events of a request.
pub const MAX_EVENTS: u64 = 50_000;

/// Rejected events that an answer shows.
pub const SHOWN_EVENTS: usize = 1000;

/// Requests that are worked on at a time. Each has a producer.
pub(super) const MAX_EVENT_REQUESTS: usize = 16;

impl Uploader {
    /// Produces the events of a request. Returns once the broker has acknowledged all of them.
    ///
    /// # Errors
    /// See [`UploadError`]. Events before the fault may have been produced.
    pub async fn take_events<S, E>(&self, read: ReadOptions, body: S) -> Result<Finished, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let started = Instant::now();
        let limits = BodyLimits { bytes: MAX_EVENTS_BYTES, ..BodyLimits::of(&self.limits) };
        let mut source = Source::new(body, limits, self.stop.clone());
        let early = |error: UploadError| UploadFailure::early(error, 0);
        source.head().await.map_err(early)?;
        if source.bytes() == 0 {
            return Err(early(FileError::NotJson { line: String::new() }.into()));
        }
        let pace = Some(source.pace().clone());
        let slot = self.stop.begun.run_until_cancelled(self.event_slots.take(pace)).await;
        let slot = slot.unwrap_or(Err(UploadError::Stopping)).map_err(early)?;
        self.storage.disk.check().map_err(|full| early(full.into()))?;
        self.probe.check_often().await.map_err(early)?;
        let job = self.event_job(read, started).map_err(early)?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let job = self.spawn_with(slot, move || job.run(receiver));
        source.feed(&pieces).await;
        drop(pieces);
        job.await.unwrap_or_else(|error| Err(early(UploadError::Internal(error.to_string()))))
    }

    fn event_job(&self, read: ReadOptions, started: Instant) -> Result<Job, UploadError> {
        let dataset = self.dataset();
        let row = LedgerRow {
            dataset: dataset.name.clone(),
            schema_id: self.destination.schema_id,
            topic: dataset.topic.clone(),
            ..LedgerRow::default()
        };
        let limits =
            RowLimits { rows: MAX_EVENTS, rejects: u64::MAX, max_rejects: None, abort_on_reject: false };
        let tally = Tally::showing(SHOWN_EVENTS, limits);
        let reader = RowReader::new(dataset.columns.clone(), read, self.limits.max_line_bytes);
        let output = self.producing(None, false)?;
        Ok(Job::new(reader, tally, Some(output), Record::begin(row, None, started)))
    }
}
