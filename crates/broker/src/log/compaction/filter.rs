//! Decides which records of a stored batch are kept, and makes a batch of them.

use std::io;

use bytes::{BufMut as _, BytesMut};

use super::keys::Keys;
use super::records::{RawRecord, Records};
use crate::log::batch::{self, HEADER_BYTES, Header};

/// Which records of a batch are kept.
#[derive(Debug)]
pub(super) enum Kept {
    All,
    /// The new batch.
    Some(Vec<u8>),
    None,
}

/// Decides which records are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'a> {
    pub keys: &'a Keys,
    /// Whether records without a value are kept.
    pub keep_tombstones: bool,
}

impl Filter<'_> {
    /// Returns what is kept of a batch.
    pub fn apply(&self, header: &Header, batch: &[u8]) -> io::Result<Kept> {
        let records = Records::of(header, batch)?;
        let (mut kept, mut count, mut newest) = (Vec::with_capacity(records.size()), 0, i64::MIN);
        for record in records.iter() {
            let record = record?;
            if self.keeps(header, &record) {
                kept.extend_from_slice(record.bytes);
                newest = newest.max(header.base_timestamp.saturating_add(record.timestamp_delta));
                count += 1;
            }
        }
        let is_everything = count == header.records && !header.is_transactional();
        if count == 0 && header.records > 0 {
            Ok(Kept::None)
        } else if is_everything {
            Ok(Kept::All)
        } else {
            header.with_records(batch, count, newest, &kept).map(Kept::Some)
        }
    }

    fn keeps(&self, header: &Header, record: &RawRecord<'_>) -> bool {
        let offset = header.base_offset + i64::from(record.offset_delta);
        let is_last = record.key.is_some_and(|key| !self.keys.has_later(key, offset));
        is_last && (record.value.is_some() || self.keep_tombstones)
    }
}

/// Returns a batch without records that covers the offsets from `first` to before `next`: at most `i32::MAX`.
pub(super) fn empty_batch(first: i64, next: i64) -> Vec<u8> {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES);
    bytes.put_i64(first);
    bytes.put_bytes(0, HEADER_BYTES - 8);
    let last_offset_delta = i32::try_from(next - first - 1).unwrap_or(i32::MAX);
    let no_timestamp = -1;
    batch::fill_header(&mut bytes, 0, last_offset_delta, no_timestamp, 0);
    bytes.to_vec()
}
