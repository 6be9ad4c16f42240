//! The ledger: epochs of topics, and chunks of offsets, noted before they are inserted and marked done afterwards.

use bytes::Bytes;
use clickhouse::Row;
use serde::Deserialize;

use super::LoaderError;
use super::chunk::Chunk;
use super::inbox::Inbox;
use super::lease::Lease;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::write_text;

/// The columns of a chunk's note.
const COLUMNS: &str = "topic, epoch, partition, first_offset, last_offset, state, messages, new, duplicate, conflict, \
     undecodable, fingerprint";

/// The last epoch of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct TopicEpoch {
    pub epoch: u32,
    pub partitions: u16,
    by_clickhouse: bool,
}

/// What loads a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicLoader {
    Roundhouse,
    ClickHouse,
}

impl TopicLoader {
    /// Returns its name in `loader_topics`.
    fn name(self) -> &'static str {
        match self {
            Self::Roundhouse => "roundhouse",
            Self::ClickHouse => "clickhouse",
        }
    }
}

impl TopicEpoch {
    pub fn loader(self) -> TopicLoader {
        if self.by_clickhouse { TopicLoader::ClickHouse } else { TopicLoader::Roundhouse }
    }
}

/// The last chunk of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct LastChunk {
    pub partition: u16,
    pub first_offset: u64,
    pub last_offset: u64,
    pub is_done: bool,
    /// Fingerprint of the last message, if the chunk is done. 0 if it is unknown because the messages could not be read.
    pub fingerprint: u64,
}

/// Whether chunks are about to be inserted, or are inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkState {
    Noted = 1,
    Done = 2,
}

/// Returns a topic's last epoch, if it was ever loaded. Needs no lease.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn topic(warehouse: &Warehouse, topic: &str) -> Result<Option<TopicEpoch>, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/engine/loader/topic.sql"));
    Ok(query.param("topic", topic).fetch_optional().await?)
}

/// Returns the last chunk of each partition that has any in an epoch of a topic. Needs no lease.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn last_chunks(
    warehouse: &Warehouse,
    topic: &str,
    epoch: u32,
) -> Result<Vec<LastChunk>, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/engine/loader/last_chunks.sql"));
    Ok(query.param("topic", topic).param("epoch", epoch).fetch_all().await?)
}

/// The ledger of one topic, as the holder of its lease writes it.
#[derive(Clone, Debug)]
pub struct Ledger {
    lease: Lease,
    inbox: Inbox,
}

impl Ledger {
    pub(super) fn new(lease: &Lease) -> Self {
        Self { lease: lease.clone(), inbox: Self::inbox() }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The inbox of `loader_chunks`.
    pub(super) fn inbox() -> Inbox {
        Inbox::new("loader_chunks", COLUMNS)
    }

    /// Returns the topic's last epoch, if it was ever loaded.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn topic(&self) -> Result<Option<TopicEpoch>, LoaderError> {
        Ok(topic(self.lease.warehouse(), self.lease.topic()).await?)
    }

    /// Begins a new epoch and returns it.
    ///
    /// # Errors
    /// ClickHouse does not answer, or the lease was taken over.
    pub async fn begin_epoch(&self, partitions: u16) -> Result<TopicEpoch, LoaderError> {
        self.lease
            .change(include_str!("../../queries/engine/loader/add_topic.sql"))
            .param("topic", self.lease.topic())
            .param("partitions", partitions)
            .execute()
            .await
            .map_err(WarehouseError::from)?;
        let begun = self.topic().await?;
        begun.ok_or(LoaderError::Warehouse(WarehouseError::Query(clickhouse::error::Error::RowNotFound)))
    }

    /// Records that the topic has more partitions. Returns its epoch, which continues.
    ///
    /// # Errors
    /// ClickHouse does not answer, or the lease was taken over.
    pub async fn add_partitions(
        &self,
        known: TopicEpoch,
        partitions: u16,
    ) -> Result<TopicEpoch, LoaderError> {
        self.lease
            .change(include_str!("../../queries/engine/loader/add_partitions.sql"))
            .param("topic", self.lease.topic())
            .param("epoch", known.epoch)
            .param("partitions", partitions)
            .param("loader", known.loader().name())
            .execute()
            .await
            .map_err(WarehouseError::from)?;
        Ok(TopicEpoch { partitions, ..known })
    }

    /// Hands the topic over to another loader: begins a new epoch where the earlier one ended, and returns it. The chunks are written
    /// first, because an epoch without chunks would begin at the start of the topic.
    ///
    /// # Errors
    /// ClickHouse does not answer, or the lease was taken over.
    pub async fn hand_over(&self, earlier: TopicEpoch, to: TopicLoader) -> Result<TopicEpoch, LoaderError> {
        let next_epoch: u32 = self
            .lease
            .warehouse()
            .query(include_str!("../../queries/engine/loader/next_epoch.sql"))
            .fetch_one()
            .await
            .map_err(WarehouseError::from)?;
        for statement in [
            include_str!("../../queries/engine/loader/hand_over.sql"),
            include_str!("../../queries/engine/loader/add_handed_over_topic.sql"),
        ] {
            self.lease
                .change(statement)
                .param("topic", self.lease.topic())
                .param("epoch", earlier.epoch)
                .param("next_epoch", next_epoch)
                .param("partitions", earlier.partitions)
                .param("loader", to.name())
                .execute()
                .await
                .map_err(WarehouseError::from)?;
        }
        Ok(TopicEpoch { epoch: next_epoch, by_clickhouse: to == TopicLoader::ClickHouse, ..earlier })
    }

    /// Returns the last chunk of each partition that has any.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn last_chunks(&self, epoch: u32) -> Result<Vec<LastChunk>, LoaderError> {
        Ok(last_chunks(self.lease.warehouse(), self.lease.topic(), epoch).await?)
    }

    /// Writes several states of chunks at once.
    ///
    /// # Errors
    /// ClickHouse does not answer, or the lease was taken over.
    pub async fn write_all<'a>(
        &self,
        epoch: u32,
        chunks: impl Iterator<Item = &'a Chunk>,
        states: &[ChunkState],
    ) -> Result<(), LoaderError> {
        let notes = chunks.flat_map(|chunk| states.iter().map(move |state| (chunk, *state))).collect();
        self.write(epoch, notes).await
    }

    /// Writes the states of chunks: all of them or, after a crash, none.
    ///
    /// # Errors
    /// ClickHouse does not answer, or the lease was taken over.
    pub async fn write(&self, epoch: u32, notes: Vec<(&Chunk, ChunkState)>) -> Result<(), LoaderError> {
        let mut rows = Vec::new();
        for (chunk, state) in notes {
            write_text(self.lease.topic().as_bytes(), &mut rows);
            rows.extend(epoch.to_le_bytes());
            rows.extend(chunk.partition.to_le_bytes());
            rows.extend(chunk.first_offset.to_le_bytes());
            rows.extend(chunk.last_offset.to_le_bytes());
            rows.push(state as u8);
            let Chunk { messages, new, duplicate, conflict, undecodable, fingerprint, .. } = chunk;
            for count in [messages, new, duplicate, conflict, undecodable, fingerprint] {
                rows.extend(count.to_le_bytes());
            }
            rows.extend(self.lease.generation.to_le_bytes());
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.lease.insert_rows(&self.inbox.insert(), std::iter::once(Bytes::from(rows))).await
    }
}
