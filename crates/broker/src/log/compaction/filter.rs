//! Reads the records of a stored batch, and makes a batch of those that are kept.

use std::io::{self, Read as _};

use bytes::{BufMut as _, BytesMut};

use super::keys::Keys;
use crate::log::batch::{self, HEADER_BYTES, Header};
use crate::log::codec::Codec;
use crate::log::records::MAX_RECORDS_BYTES;

/// The decompressed records of a batch.
#[derive(Debug)]
pub(super) struct Records {
    bytes: Vec<u8>,
}

/// A record in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    /// All of it, with its length.
    pub bytes: &'a [u8],
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

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
        let (mut kept, mut count, mut newest) = (Vec::with_capacity(records.bytes.len()), 0, i64::MIN);
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

impl Records {
    /// Decompresses the records of a batch.
    pub fn of(header: &Header, batch: &[u8]) -> io::Result<Self> {
        let mut stored = batch.get(HEADER_BYTES..).unwrap_or_default();
        let mut bytes = Vec::new();
        if header.is_empty() {
            return Ok(Self { bytes });
        }
        let codec = Codec::of(header.attributes).map_err(io::Error::other)?;
        let reader = codec.reader(&mut stored, MAX_RECORDS_BYTES)?;
        reader.take(MAX_RECORDS_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_RECORDS_BYTES {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(Self { bytes })
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = io::Result<RawRecord<'_>>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let parsed = parse(&mut rest);
            if parsed.is_none() {
                rest = &[];
            }
            Some(
                parsed.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "a stored record is malformed")
                }),
            )
        })
    }
}

/// Takes a record from the start of `rest`.
fn parse<'a>(rest: &mut &'a [u8]) -> Option<RawRecord<'a>> {
    let all = *rest;
    let length = usize::try_from(varint(rest)?).ok()?;
    let (mut fields, after) = rest.split_at_checked(length)?;
    *rest = after;
    let bytes = all.get(..all.len() - after.len())?;
    fields = fields.get(1..)?;
    let timestamp_delta = varint(&mut fields)?;
    let offset_delta = i32::try_from(varint(&mut fields)?).ok()?;
    let key = field(&mut fields)?;
    let value = field(&mut fields)?;
    Some(RawRecord { bytes, timestamp_delta, offset_delta, key, value })
}

/// Takes a length and that many bytes. A negative length means that there is no field.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(varint(bytes)?) else { return Some(None) };
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(field))
}

/// Takes a zigzag number with seven bits per byte, lowest bits first.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
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
