//! A record batch in Kafka's message format 2, as producers send it and files store it: a header of 61 bytes, then the records. The
//! records are checked once, when the batch is accepted.

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use nisshi_sans_io::ErrorCode;
use thiserror::Error;

use super::records::{self, Expected, Record, RecordsError};

/// Size of the batch header in bytes.
pub(in super::super) const HEADER_BYTES: usize = 61;

/// Bytes that the length field of the header does not count: the base offset and the length itself.
const LENGTH_PREFIX: usize = 12;

/// Where the checksummed part starts. The fields that the broker sets (offset, epoch) come before it.
const CHECKSUMMED_FROM: usize = 21;

/// The position of the checksum.
const CHECKSUM: std::ops::Range<usize> = 17..CHECKSUMMED_FROM;

/// The position of the newest timestamp.
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;

const MAGIC: u8 = 2;

/// The attribute bits for the compression codec. The others mark transactions and what only a broker sets.
const CODEC_ATTRIBUTES: i16 = 0b111;

/// Why a producer's batch is refused.
#[derive(Debug, Error)]
pub(in super::super) enum BatchError {
    #[error("the batch has {bytes} bytes; the topic accepts {limit} (max.message.bytes)")]
    TooLarge { bytes: usize, limit: usize },
    #[error("message format {0} is not supported; send batches of format 2")]
    Format(u8),
    #[error("the batch is incomplete, or more than one batch was sent for the partition")]
    Incomplete,
    #[error("the checksum of the batch is wrong; send it again")]
    Checksum,
    #[error("attributes {0:#b} are not supported; this broker has no transactions")]
    Attributes(i16),
    #[error("the batch states {records} records, but {offsets} offsets")]
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
            Self::Attributes(_) | Self::Count { .. } | Self::Producer(_) | Self::Records(_) => {
                ErrorCode::InvalidRecord
            }
        }
    }
}

/// The fields of a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Header {
    pub base_offset: i64,
    /// Bytes of the whole batch, including this header.
    pub bytes: u64,
    checksum: u32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    records: i32,
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

    /// Returns the sequence number of its last record. Sequence numbers wrap to 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
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
        let Self { attributes, records, base_timestamp, .. } = *self;
        let records = Expected { attributes, records, base_timestamp };
        records::walk(batch.get(HEADER_BYTES..).unwrap_or_default(), records, seen)
    }

    /// Checks the header of a producer's batch, without the records.
    fn check(&self) -> Result<(), BatchError> {
        let offsets = i64::from(self.last_offset_delta) + 1;
        if self.attributes & !CODEC_ATTRIBUTES != 0 {
            Err(BatchError::Attributes(self.attributes))
        } else if self.records < 1 || i64::from(self.records) != offsets {
            Err(BatchError::Count { records: self.records, offsets })
        } else if self.producer_id >= 0 && (self.producer_epoch < 0 || self.base_sequence < 0) {
            Err(BatchError::Producer(self.producer_id))
        } else {
            Ok(())
        }
    }
}

/// A checked batch from a producer. Its offset is not assigned yet.
#[derive(Clone, Debug)]
pub(in super::super) struct Batch {
    pub header: Header,
    pub bytes: Bytes,
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
        let mut newest = i64::MIN;
        header.records(&bytes, |record| newest = newest.max(record.timestamp))?;
        let batch = Self { header, bytes };
        Ok(if newest == header.max_timestamp { batch } else { batch.with_max_timestamp(newest) })
    }

    /// Corrects the newest timestamp in the header, like Kafka. Lookups by time use it.
    fn with_max_timestamp(self, max_timestamp: i64) -> Self {
        let mut bytes = BytesMut::from(self.bytes);
        if let Some(place) = bytes.get_mut(MAX_TIMESTAMP) {
            place.copy_from_slice(&max_timestamp.to_be_bytes());
        }
        let checksum = checksum(bytes.get(CHECKSUMMED_FROM..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(CHECKSUM) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        Self { header: Header { max_timestamp, checksum, ..self.header }, bytes: bytes.freeze() }
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

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn checksum(bytes: &[u8]) -> u32 {
    // The 32-bit checksum is returned as 64 bits.
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
pub(super) mod tests;
