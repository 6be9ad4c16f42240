//! Reads the records of a batch and checks that they match its header.
//!
//! Nothing is copied or kept: lengths are followed, keys and values are skipped. Compressed records are decompressed piece by piece, up to
//! a limit.

use std::io::{self, BufRead};

use thiserror::Error;

use super::codec::{Codec, UnknownCodec};

/// Maximum bytes of a batch's records after decompression. A consumer needs this much memory for them.
pub(crate) const MAX_RECORDS_BYTES: usize = crate::MAX_BATCH_BYTES;

/// Why the records of a batch are invalid.
#[derive(Debug, Error)]
pub(crate) enum RecordsError {
    #[error(transparent)]
    Codec(#[from] UnknownCodec),
    #[error("cannot decompress the records ({codec}): {source}")]
    Decompression { codec: &'static str, source: io::Error },
    #[error("the records have more than {MAX_RECORDS_BYTES} bytes after decompression; send smaller batches")]
    TooLarge,
    #[error("record {record} is malformed: {reason}")]
    Malformed { record: i32, reason: &'static str },
    #[error("the timestamp of record {record} is out of range")]
    Timestamp { record: i32 },
    #[error("there are bytes after the last record")]
    Trailing,
}

/// The fields of a record that the broker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub offset_delta: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub has_key: bool,
}

/// The fields of a batch header that describe its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub attributes: i16,
    pub records: i32,
    pub base_timestamp: i64,
    pub last_offset_delta: i32,
}

impl Expected {
    /// Whether records are missing between the first and the last offset, because the batch was compacted.
    fn is_compacted(&self) -> bool {
        i64::from(self.records) != i64::from(self.last_offset_delta) + 1
    }
}

/// Calls `seen` for each record of a batch. `bytes`: what follows the batch header.
///
/// # Errors
/// The number of records is wrong, one is incomplete, or they are not numbered in order.
pub(super) fn walk(
    bytes: &[u8],
    expected: Expected,
    mut seen: impl FnMut(Record),
) -> Result<(), RecordsError> {
    let codec = Codec::of(expected.attributes)?;
    if codec == Codec::None {
        // The hot path. Through the reader below, every byte of a length would be a virtual call.
        return Walk { source: bytes, left: bytes.len(), codec, record: 0 }.run(expected, &mut seen);
    }
    let mut compressed = bytes;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::FileTooLarge => RecordsError::TooLarge,
        _ => RecordsError::Decompression { codec: codec.name(), source },
    };
    let source = codec.reader(&mut compressed, MAX_RECORDS_BYTES).map_err(failed)?;
    Walk { source, left: MAX_RECORDS_BYTES, codec, record: 0 }.run(expected, &mut seen)?;
    // A decoder may stop after its first frame.
    if compressed.is_empty() { Ok(()) } else { Err(RecordsError::Trailing) }
}

struct Walk<R> {
    source: R,
    /// Bytes left to read: of the current record, or of all records.
    left: usize,
    codec: Codec,
    record: i32,
}

impl<R: BufRead> Walk<R> {
    fn run(&mut self, expected: Expected, seen: &mut impl FnMut(Record)) -> Result<(), RecordsError> {
        let mut last = -1;
        for record in 0..expected.records {
            self.record = record;
            let length = self.record_length()?;
            let rest = self.left - length;
            self.left = length;
            let read = self.record(expected.base_timestamp)?;
            let is_in_order = if expected.is_compacted() {
                read.offset_delta > last && read.offset_delta <= expected.last_offset_delta
            } else {
                read.offset_delta == record
            };
            if !is_in_order {
                return Err(self.malformed("its offset delta is not its number"));
            }
            last = read.offset_delta;
            seen(read);
            if self.left != 0 {
                return Err(self.malformed("it is shorter than its length"));
            }
            self.left = rest;
        }
        match self.source.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(RecordsError::Trailing),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn record_length(&mut self) -> Result<usize, RecordsError> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| self.malformed("its length is negative"))?;
        if length <= self.left {
            Ok(length)
        } else if self.codec != Codec::None && length <= MAX_RECORDS_BYTES {
            Err(RecordsError::TooLarge)
        } else {
            Err(self.malformed("its length reaches beyond the end of the batch"))
        }
    }

    fn record(&mut self, base_timestamp: i64) -> Result<Record, RecordsError> {
        let _attributes = self.byte()?;
        let timestamp = base_timestamp
            .checked_add(self.varlong()?)
            .ok_or(RecordsError::Timestamp { record: self.record })?;
        let offset_delta = self.varint()?;
        let has_key = self.skip_field(true)?;
        self.skip_field(true)?;
        let headers = self.varint()?;
        if headers < 0 {
            return Err(self.malformed("its number of headers is negative"));
        }
        for _ in 0..headers {
            self.skip_field(false)?;
            self.skip_field(true)?;
        }
        Ok(Record { offset_delta, timestamp, has_key })
    }

    /// Skips a length and that many bytes. A length of -1 means null. Returns whether it is not null.
    #[inline]
    fn skip_field(&mut self, may_be_null: bool) -> Result<bool, RecordsError> {
        let length = self.varint()?;
        if length == -1 && may_be_null {
            return Ok(false);
        }
        let length = usize::try_from(length).map_err(|_| self.malformed("a length in it is negative"))?;
        self.skip(length).map(|()| true)
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), RecordsError> {
        if bytes > self.left {
            return Err(self.malformed("a length in it reaches beyond its end"));
        }
        self.left -= bytes;
        if self.source.fill_buf().is_ok_and(|found| found.len() >= bytes) {
            self.source.consume(bytes);
            return Ok(());
        }
        self.skip_pieces(bytes)
    }

    fn skip_pieces(&mut self, mut bytes: usize) -> Result<(), RecordsError> {
        while bytes > 0 {
            let found = match self.source.fill_buf() {
                Ok(found) => found.len().min(bytes),
                Err(error) => return Err(self.unreadable(error)),
            };
            if found == 0 {
                return Err(self.malformed("its end is missing"));
            }
            self.source.consume(found);
            bytes -= found;
        }
        Ok(())
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordsError> {
        if self.left == 0 {
            return Err(self.malformed("it ends too early"));
        }
        let byte = match self.source.fill_buf() {
            Ok(found) => found.first().copied(),
            Err(error) => return Err(self.unreadable(error)),
        };
        let byte = byte.ok_or_else(|| self.malformed("its end is missing"))?;
        self.source.consume(1);
        self.left -= 1;
        Ok(byte)
    }

    /// Reads a number of up to 32 bits.
    #[inline]
    fn varint(&mut self) -> Result<i32, RecordsError> {
        let value = self.number(u32::BITS)?;
        i32::try_from(value).map_err(|_| self.malformed("a number in it is too large"))
    }

    /// Reads a number of up to 64 bits.
    #[inline]
    fn varlong(&mut self) -> Result<i64, RecordsError> {
        self.number(u64::BITS)
    }

    /// Reads a zigzag number with seven bits per byte, lowest bits first.
    #[inline]
    fn number(&mut self, bits: u32) -> Result<i64, RecordsError> {
        // Most numbers have one byte.
        if self.left > 0
            && let Ok(&[byte @ ..0x80, ..]) = self.source.fill_buf()
        {
            self.source.consume(1);
            self.left -= 1;
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        self.long_number(bits)
    }

    fn long_number(&mut self, bits: u32) -> Result<i64, RecordsError> {
        let mut value = 0_u64;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(self.malformed("a number in it has too many bytes"))
    }

    #[cold]
    fn malformed(&self, reason: &'static str) -> RecordsError {
        RecordsError::Malformed { record: self.record, reason }
    }

    #[cold]
    fn unreadable(&self, source: io::Error) -> RecordsError {
        RecordsError::Decompression { codec: self.codec.name(), source }
    }
}
