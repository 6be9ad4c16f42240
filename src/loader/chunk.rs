//! A chunk: a range of offsets of one partition, and what is known about its messages.

use std::collections::BTreeMap;
use std::ops::Range;

use rdkafka::Message;
use sha2::{Digest, Sha256};

use crate::warehouse::upload_counts::UploadCounts;

/// The tables that the rows of a batch go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Rows,
    Rejects,
}

/// Where a batch's messages come from, and under which lease it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub topic: &'a str,
    pub epoch: u32,
    /// Generation of the lease: see [`super::inbox`].
    pub generation: u32,
}

/// The messages of one partition in a batch.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    pub partition: u16,
    pub first_offset: i64,
    pub last_offset: i64,
    pub messages: u64,
    pub new: u64,
    /// Repeats: rounds that were stored before. Until they are compared ([`super::repeats`]), conflicts are counted here too.
    pub duplicate: u64,
    /// Repeats whose stored round has other values.
    pub conflict: u64,
    pub undecodable: u64,
    /// The new rounds that the view does not add to their hours. The loader recomputes those hours from their rounds.
    pub recounted: u64,
    /// Fingerprint of the last message.
    pub fingerprint: u64,
    /// Messages whose round was stored before, ordered by offset.
    pub repeats: Vec<Repeat>,
    /// The bytes that the ranges in `repeats` point into.
    pub repeated_rows: Vec<u8>,
    /// New, duplicate and conflicting rows of each upload.
    pub uploads: BTreeMap<u128, UploadCounts>,
}

impl Chunk {
    /// Returns how many of its messages are rows of a table.
    pub(super) fn rows(&self, table: Table, is_of_rejects: bool) -> u64 {
        match (table, is_of_rejects) {
            (Table::Rows, false) | (Table::Rejects, true) => self.new,
            (Table::Rows, true) => 0,
            (Table::Rejects, false) => self.undecodable,
        }
    }

    /// Returns a repeat's values.
    pub(super) fn row(&self, repeat: &Repeat) -> RepeatedRow<'_> {
        let bytes = self.repeated_rows.get(repeat.row.clone()).unwrap_or_default();
        let (prefix, rest) = bytes.split_at_checked(repeat.prefix_bytes as usize).unwrap_or_default();
        let (fields, others) = rest.split_at_checked(repeat.field_bytes as usize).unwrap_or_default();
        RepeatedRow { prefix, fields, others }
    }
}

/// The values of a repeat in RowBinary.
#[derive(Clone, Copy, Debug)]
pub(super) struct RepeatedRow<'a> {
    /// The columns of the key before the last one.
    pub(super) prefix: &'a [u8],
    /// The fields of a file, those of the key among them.
    pub(super) fields: &'a [u8],
    /// What the server has filled in, but for the upload's id and the line.
    pub(super) others: &'a [u8],
}

/// A message whose round was stored before.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The last column of its key.
    pub id: u64,
    pub offset: i64,
    /// None if the message was not produced by an upload.
    pub upload_id: Option<u128>,
    pub line: Option<u64>,
    /// A range of [`Chunk::repeated_rows`]: see [`Chunk::row`].
    pub row: Range<usize>,
    pub prefix_bytes: u32,
    pub field_bytes: u32,
    /// Whether the stored round has other values. Determined by [`super::repeats`].
    pub is_conflict: bool,
}

/// Returns the partition of a message. Kafka numbers partitions from 0.
pub(super) fn partition_of(message: &impl Message) -> u16 {
    u16::try_from(message.partition()).unwrap_or(u16::MAX)
}

/// Returns a hash of a message's time, key and value. If a topic was recreated, the same offset has another hash.
pub fn fingerprint(message: &impl Message) -> u64 {
    let mut hash = Sha256::new();
    hash.update(message.timestamp().to_millis().unwrap_or(-1).to_le_bytes());
    for part in [message.key(), message.payload()] {
        hash.update([u8::from(part.is_some())]);
        hash.update((part.unwrap_or_default().len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
