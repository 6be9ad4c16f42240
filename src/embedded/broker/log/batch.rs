//! A record batch as producers send it and files keep it (Kafka's message format 2): 61 bytes of header, then records, which
//! are checked once, when they are accepted.

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use nisshi_sans_io::ErrorCode;
use thiserror::Error;

use super::records::{self, Expected, Record, RecordsError};

/// Bytes of a batch before its first record.
pub(in super::super) const HEADER_BYTES: usize = 61;

/// Bytes before the part that the header's length counts: the base offset and the length itself.
const LENGTH_PREFIX: usize = 12;

/// Where the part under the checksum starts: what the broker fills in (offset, epoch) lies before it.
const CHECKSUMMED_FROM: usize = 21;

/// Where the checksum lies.
const CHECKSUM: std::ops::Range<usize> = 17..CHECKSUMMED_FROM;

/// Where the newest timestamp lies.
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;

const MAGIC: u8 = 2;

/// The attributes that say how records are compressed. The others mark transactions and what only a broker sets.
const CODEC_ATTRIBUTES: i16 = 0b111;

/// Why a producer's batch is not accepted.
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
    /// The error as a producer knows it. One that sending again cannot mend is not `CorruptMessage`, which clients repeat.
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

/// What the header of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Header {
    pub base_offset: i64,
    /// Bytes of the whole batch, this header included.
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
    /// Reads a header; `None` if the bytes are too few or no batch.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // First what most bytes that are no header fail at.
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

    /// The same batch at another offset.
    pub fn at(self, base_offset: i64) -> Self {
        Self { base_offset, ..self }
    }

    /// The offset after its last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// The sequence number of its last record: sequences wrap to 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    /// Says that `batch`, all of it, has the checksum that this header states.
    pub fn matches(&self, batch: &[u8]) -> bool {
        batch.len() as u64 == self.bytes
            && batch.get(CHECKSUMMED_FROM..).is_some_and(|covered| checksum(covered) == self.checksum)
    }

    /// Hands each record of `batch`, whose header this is, to `seen`.
    ///
    /// # Errors
    /// They are not what the header says.
    pub fn records(&self, batch: &[u8], seen: impl FnMut(Record)) -> Result<(), RecordsError> {
        let Self { attributes, records, base_timestamp, .. } = *self;
        let records = Expected { attributes, records, base_timestamp };
        records::walk(batch.get(HEADER_BYTES..).unwrap_or_default(), records, seen)
    }

    /// Checks what the header of a producer's batch says, by itself.
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

/// A batch from a producer, found whole and acceptable; its offset is not assigned yet.
#[derive(Clone, Debug)]
pub(in super::super) struct Batch {
    pub header: Header,
    pub bytes: Bytes,
}

impl Batch {
    /// Checks all that a producer sent for one partition, down to its last record.
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

    /// The same batch with the newest timestamp of its records in its header, as Kafka corrects it: offsets are looked up by it.
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

    /// The first bytes as the log keeps them: with the offset that was assigned, and leader epoch 0.
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
    // The 32 bits of the sum come in 64.
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
pub(super) mod tests;
