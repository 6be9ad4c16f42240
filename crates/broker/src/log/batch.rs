//! A record batch in Kafka's message format 2, as producers send it and files store it: a header of 61 bytes, then the records. The
//! records are checked once, when the batch is accepted.

use std::io;

use crate::error_code::ErrorCode;
use bytes::{BufMut as _, Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use roundhouse_part::counted::counted;
use thiserror::Error;

use super::codec::Codec;
use super::records::{self, Expected, Record, RecordsError};

/// Size of the batch header in bytes.
pub(crate) const HEADER_BYTES: usize = 61;

/// Bytes that the length field of the header does not count: the base offset and the length itself.
const LENGTH_PREFIX: usize = 12;

/// Where the checksummed part starts. The fields that the broker sets (offset, epoch) come before it.
const CHECKSUMMED_FROM: usize = 21;

/// The position of the checksum.
const CHECKSUM: std::ops::Range<usize> = 17..CHECKSUMMED_FROM;

/// The position of the newest timestamp.
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;

const MAGIC: u8 = 2;

/// The attribute bits for the compression codec.
const CODEC_ATTRIBUTES: i16 = 0b111;

/// The attribute bit of a batch that belongs to a transaction.
const TRANSACTIONAL: i16 = 0x10;

/// The attribute bit of a batch that ends a transaction. Only a broker writes such batches.
const CONTROL: i16 = 0x20;

/// What precedes the key of the record in a control batch: its length (16), attributes, two deltas, and the key's length (4).
const MARKER_RECORD: [u8; 5] = [32, 0, 0, 0, 8];

/// The position of the key of that record.
const MARKER_KEY: usize = HEADER_BYTES + MARKER_RECORD.len();

/// Why a producer's batch is refused.
#[derive(Debug, Error)]
pub(crate) enum BatchError {
    #[error("the batch has {}; the topic accepts {limit} (max.message.bytes)", counted(*bytes as u64, "byte"))]
    TooLarge { bytes: usize, limit: usize },
    #[error("message format {0} is not supported; send batches of format 2")]
    Format(u8),
    #[error("the batch is incomplete, or more than one batch was sent for the partition")]
    Incomplete,
    #[error("the checksum of the batch is wrong; send it again")]
    Checksum,
    #[error("attributes {0:#b} are not allowed in a producer's batch; only a broker may set them")]
    Attributes(i16),
    #[error("the batch is transactional but has no producer id")]
    NoProducer,
    #[error("the number of records of the batch is {records}, but the number of its offsets is {offsets}")]
    Count { records: i32, offsets: i64 },
    #[error("the batch has producer id {0}, but a negative epoch or sequence number")]
    Producer(i64),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl BatchError {
    /// Returns the Kafka error code. `CorruptMessage` is used only if a retry can help, because clients retry it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } | Self::Records(RecordsError::TooLarge) => ErrorCode::MessageTooLarge,
            Self::Format(_) => ErrorCode::UnsupportedForMessageFormat,
            Self::Incomplete | Self::Checksum => ErrorCode::CorruptMessage,
            Self::Records(RecordsError::Codec(_)) => ErrorCode::UnsupportedCompressionType,
            Self::Records(RecordsError::Timestamp { .. }) => ErrorCode::InvalidTimestamp,
            Self::Attributes(_)
            | Self::NoProducer
            | Self::Count { .. }
            | Self::Producer(_)
            | Self::Records(_) => ErrorCode::InvalidRecord,
        }
    }
}

/// The fields of a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub base_offset: i64,
    /// Bytes of the whole batch, including this header.
    pub bytes: u64,
    checksum: u32,
    pub attributes: i16,
    last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records: i32,
}

impl Header {
    /// Parses a header. Returns `None` if there are too few bytes, or if they are not a batch.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // Check first what most invalid bytes fail.
        if *bytes.get(16)? != MAGIC {
            return None;
        }
        let length = i32::from_be_bytes(array(bytes, 8)?);
        let header = Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            bytes: u64::try_from(length).ok()? + LENGTH_PREFIX as u64,
            checksum: u32::from_be_bytes(array(bytes, CHECKSUM.start)?),
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP.start)?),
            producer_id: i64::from_be_bytes(array(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)?),
            base_sequence: i32::from_be_bytes(array(bytes, 53)?),
            records: i32::from_be_bytes(array(bytes, 57)?),
        };
        let plausible = header.bytes >= HEADER_BYTES as u64
            && header.last_offset_delta >= 0
            && header.base_offset.checked_add(i64::from(header.last_offset_delta) + 1).is_some();
        plausible.then_some(header)
    }

    /// Returns the header of the same batch at another offset.
    pub fn at(self, base_offset: i64) -> Self {
        Self { base_offset, ..self }
    }

    /// Returns the offset after its last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// Returns the sequence number of its last record.
    pub fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it ends a transaction and has no data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether it has no records. Compaction leaves such batches.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Returns `batch`, which has this header, with fewer records and without its transaction. Its offsets stay.
    ///
    /// `records`: `count` uncompressed records. The newest one has the timestamp `max_timestamp`.
    ///
    /// # Errors
    /// The records cannot be compressed.
    pub fn with_records(
        &self,
        batch: &[u8],
        count: i32,
        max_timestamp: i64,
        records: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut bytes = BytesMut::from(batch.get(..HEADER_BYTES).unwrap_or_default());
        bytes.put_slice(&Codec::of(self.attributes).map_err(io::Error::other)?.compress(records)?);
        let attributes = self.attributes & !TRANSACTIONAL;
        fill_header(&mut bytes, attributes, self.last_offset_delta, max_timestamp, count);
        Ok(bytes.to_vec())
    }

    /// Returns how `batch`, the whole batch, ends a transaction. None if it has data.
    pub fn outcome(&self, batch: &[u8]) -> Option<Outcome> {
        if !self.is_control() {
            return None;
        }
        match i16::from_be_bytes(array(batch, MARKER_KEY + 2)?) {
            0 => Some(Outcome::Abort),
            1 => Some(Outcome::Commit),
            _ => None,
        }
    }

    /// Whether `batch`, the whole batch, has the checksum in this header.
    pub fn matches(&self, batch: &[u8]) -> bool {
        batch.len() as u64 == self.bytes
            && batch.get(CHECKSUMMED_FROM..).is_some_and(|covered| checksum(covered) == self.checksum)
    }

    /// Calls `seen` for each record of `batch`, which has this header.
    ///
    /// # Errors
    /// The records do not match the header.
    pub fn records(&self, batch: &[u8], seen: impl FnMut(Record)) -> Result<(), RecordsError> {
        let Self { attributes, records, base_timestamp, last_offset_delta, .. } = *self;
        let records = Expected { attributes, records, base_timestamp, last_offset_delta };
        records::walk(batch.get(HEADER_BYTES..).unwrap_or_default(), records, seen)
    }

    /// Checks the header of a producer's batch, without the records.
    fn check(&self) -> Result<(), BatchError> {
        let offsets = i64::from(self.last_offset_delta) + 1;
        if self.attributes & !(CODEC_ATTRIBUTES | TRANSACTIONAL) != 0 {
            Err(BatchError::Attributes(self.attributes))
        } else if self.is_transactional() && self.producer_id < 0 {
            Err(BatchError::NoProducer)
        } else if self.records < 1 || i64::from(self.records) != offsets {
            Err(BatchError::Count { records: self.records, offsets })
        } else if self.producer_id >= 0 && (self.producer_epoch < 0 || self.base_sequence < 0) {
            Err(BatchError::Producer(self.producer_id))
        } else {
            Ok(())
        }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Abort,
    Commit,
}

/// What the batch that ends a transaction says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub outcome: Outcome,
    pub coordinator_epoch: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// A checked batch. Its offset is not assigned yet.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub header: Header,
    pub bytes: Bytes,
    /// Whether every record has a key. A compacted topic needs it.
    pub has_keys: bool,
}

impl Batch {
    /// Checks everything that a producer sent for one partition, down to the last record.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn from_producer(bytes: Bytes, max_bytes: usize) -> Result<Self, BatchError> {
        if bytes.len() > max_bytes {
            return Err(BatchError::TooLarge { bytes: bytes.len(), limit: max_bytes });
        }
        if let Some(&magic) = bytes.get(16).filter(|magic| **magic != MAGIC) {
            return Err(BatchError::Format(magic));
        }
        let header = Header::parse(&bytes).ok_or(BatchError::Incomplete)?;
        if header.bytes != bytes.len() as u64 {
            return Err(BatchError::Incomplete);
        }
        if !header.matches(&bytes) {
            return Err(BatchError::Checksum);
        }
        header.check()?;
        let (mut newest, mut has_keys) = (i64::MIN, true);
        header.records(&bytes, |record| {
            newest = newest.max(record.timestamp);
            has_keys &= record.has_key;
        })?;
        let batch = Self { header, bytes, has_keys };
        Ok(if newest == header.max_timestamp { batch } else { batch.with_max_timestamp(newest) })
    }

    /// Returns the batch that ends a transaction, in Kafka's format. None only if a header cannot be parsed, which cannot happen here.
    pub fn marker(marker: Marker) -> Option<Self> {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + 17);
        bytes.put_i64(0);
        bytes.put_i32((HEADER_BYTES + 17 - LENGTH_PREFIX) as i32);
        bytes.put_i32(0);
        bytes.put_u8(MAGIC);
        bytes.put_u32(0);
        bytes.put_i16(TRANSACTIONAL | CONTROL);
        bytes.put_i32(0);
        bytes.put_i64(marker.timestamp);
        bytes.put_i64(marker.timestamp);
        bytes.put_i64(marker.producer_id);
        bytes.put_i16(marker.producer_epoch);
        bytes.put_i32(-1);
        bytes.put_i32(1);
        bytes.put_slice(&MARKER_RECORD);
        bytes.put_i16(0);
        bytes.put_i16(i16::from(marker.outcome == Outcome::Commit));
        // The value's length (6), the value, and no headers.
        bytes.put_u8(12);
        bytes.put_i16(0);
        bytes.put_i32(marker.coordinator_epoch);
        bytes.put_u8(0);
        Self::sealed(bytes)
    }

    /// Returns the batch with the right checksum.
    fn sealed(mut bytes: BytesMut) -> Option<Self> {
        put_checksum(&mut bytes);
        Some(Self { header: Header::parse(&bytes)?, bytes: bytes.freeze(), has_keys: true })
    }

    /// Corrects the newest timestamp in the header, like Kafka. Lookups by time use it.
    fn with_max_timestamp(self, max_timestamp: i64) -> Self {
        let mut bytes = BytesMut::from(self.bytes);
        if let Some(place) = bytes.get_mut(MAX_TIMESTAMP) {
            place.copy_from_slice(&max_timestamp.to_be_bytes());
        }
        let checksum = put_checksum(&mut bytes);
        Self { header: Header { max_timestamp, checksum, ..self.header }, bytes: bytes.freeze(), ..self }
    }

    /// Returns how it ends a transaction. None if it has data.
    pub fn outcome(&self) -> Option<Outcome> {
        self.header.outcome(&self.bytes)
    }

    /// Returns the first bytes as stored in the log, with the assigned offset and leader epoch 0.
    pub fn stored_prefix(&self, base_offset: i64) -> [u8; 16] {
        let mut prefix = [0; 16];
        let (offset, rest) = prefix.split_at_mut(8);
        offset.copy_from_slice(&base_offset.to_be_bytes());
        rest.iter_mut().zip(self.bytes.iter().skip(8).take(4)).for_each(|(to, from)| *to = *from);
        prefix
    }
}

/// Returns the sequence number that follows after `more` records. Sequence numbers wrap to 0 after `i32::MAX`.
pub(crate) fn sequence_after(sequence: i32, more: i32) -> i32 {
    sequence.wrapping_add(more) & i32::MAX
}

/// Returns the offset that follows the last record of these batches, which must be complete. None if there is no batch.
pub(crate) fn end_of(batches: &[u8]) -> Option<i64> {
    let (mut at, mut end) = (0, None);
    while let Some(header) = batches.get(at..).and_then(Header::parse) {
        end = Some(header.next_offset());
        at = usize::try_from(header.bytes).ok().and_then(|bytes| at.checked_add(bytes))?;
    }
    end
}

/// Sets the fields of a batch's header that compaction changes, its length and its checksum. If there are no records, also those that only
/// records have.
pub(super) fn fill_header(
    bytes: &mut BytesMut,
    attributes: i16,
    last_offset_delta: i32,
    max_timestamp: i64,
    records: i32,
) {
    let length = i32::try_from(bytes.len() - LENGTH_PREFIX).unwrap_or(i32::MAX);
    let mut put = |at: usize, field: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
    };
    put(8, &length.to_be_bytes());
    put(16, &[MAGIC]);
    put(21, &attributes.to_be_bytes());
    put(23, &last_offset_delta.to_be_bytes());
    put(MAX_TIMESTAMP.start, &max_timestamp.to_be_bytes());
    put(57, &records.to_be_bytes());
    if records == 0 {
        put(27, &max_timestamp.to_be_bytes());
        // No producer id, epoch and sequence number.
        put(43, &[0xff; 14]);
    }
    put_checksum(bytes);
}

/// Puts the right checksum into a batch, and returns it.
fn put_checksum(bytes: &mut [u8]) -> u32 {
    let sum = checksum(bytes.get(CHECKSUMMED_FROM..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(CHECKSUM) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    sum
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// CRC-32C.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    // The 32-bit checksum is returned as 64 bits.
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
pub(super) mod tests;
