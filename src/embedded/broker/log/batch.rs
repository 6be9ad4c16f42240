//! A record batch as producers send it and files keep it (Kafka's message format 2): 61 bytes of header that say
//! all the broker needs, then records it never looks into.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use nisshi_sans_io::ErrorCode;

/// Bytes of a batch before its first record.
pub(in super::super) const HEADER_BYTES: usize = 61;

/// Bytes before the part that the header's length counts: the base offset and the length itself.
const LENGTH_PREFIX: usize = 12;

/// Where the part under the checksum starts: what the broker fills in (offset, epoch) lies before it.
const CHECKSUMMED_FROM: usize = 21;

const MAGIC: u8 = 2;
const TRANSACTIONAL_OR_CONTROL: i16 = 0b11_0000;

/// What the header of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Header {
    pub base_offset: i64,
    /// Bytes of the whole batch, this header included.
    pub bytes: u64,
    magic: u8,
    checksum: u32,
    attributes: i16,
    last_offset_delta: i32,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    records: i32,
}

impl Header {
    /// Reads a header; `None` if the bytes are too few or no batch.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let length = i32::from_be_bytes(array(bytes, 8)?);
        let header = Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            bytes: u64::try_from(length).ok()? + LENGTH_PREFIX as u64,
            magic: *bytes.get(16)?,
            checksum: u32::from_be_bytes(array(bytes, 17)?),
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)?),
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
        self.magic == MAGIC
            && batch.len() as u64 == self.bytes
            && batch.get(CHECKSUMMED_FROM..).is_some_and(|covered| {
                crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, covered) == u64::from(self.checksum)
            })
    }
}

/// A batch from a producer, found whole and acceptable; its offset is not assigned yet.
#[derive(Clone, Debug)]
pub(in super::super) struct Batch {
    pub header: Header,
    pub bytes: Bytes,
}

impl Batch {
    /// Checks what a producer sent for one partition.
    ///
    /// # Errors
    /// The Kafka error that says what is wrong with it.
    pub fn from_producer(bytes: Bytes, max_bytes: usize) -> Result<Self, ErrorCode> {
        if bytes.len() > max_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        if bytes.get(16).is_some_and(|&magic| magic != MAGIC) {
            return Err(ErrorCode::UnsupportedForMessageFormat);
        }
        let header = Header::parse(&bytes).ok_or(ErrorCode::CorruptMessage)?;
        if !header.matches(&bytes) {
            return Err(ErrorCode::CorruptMessage);
        }
        if header.records < 1
            || header.last_offset_delta != header.records - 1
            || header.attributes & TRANSACTIONAL_OR_CONTROL != 0
        {
            return Err(ErrorCode::InvalidRecord);
        }
        Ok(Self { header, bytes })
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
