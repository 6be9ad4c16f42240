//! The codecs that producers use to compress the records of a batch.

use std::io::{self, BufRead, BufReader, Cursor, Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use thiserror::Error;

/// Bytes that are decompressed at once.
const PIECE_BYTES: usize = 32 << 10;

/// How Snappy data of Java producers begins. Blocks follow, each preceded by its length. Other producers send one block only.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";

/// Bytes before the first block: this prefix and two version numbers.
const XERIAL_HEADER_BYTES: usize = 16;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// The error for an unknown codec number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown compression codec {0}; Kafka has 0 (none), 1 (gzip), 2 (snappy), 3 (lz4) and 4 (zstd)")]
pub(crate) struct UnknownCodec(pub i16);

impl Codec {
    /// Returns the codec in the attributes of a batch.
    pub fn of(attributes: i16) -> Result<Self, UnknownCodec> {
        match attributes & 0b111 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            number => Err(UnknownCodec(number)),
        }
    }

    /// Returns the codec's name in Kafka's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Returns a reader of the decompressed records, which advances `records` as needed.
    ///
    /// It decompresses piece by piece. Only Snappy is decompressed at once, up to `max_bytes`; its blocks state their size.
    pub fn reader<'a>(self, records: &'a mut &[u8], max_bytes: usize) -> io::Result<Box<dyn BufRead + 'a>> {
        Ok(match self {
            Self::None => Box::new(records),
            Self::Gzip => Box::new(BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(records))),
            Self::Snappy => Box::new(Cursor::new(snappy(std::mem::take(records), max_bytes)?)),
            Self::Lz4 => Box::new(BufReader::with_capacity(PIECE_BYTES, FrameDecoder::new(records))),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(records)?;
                Box::new(BufReader::with_capacity(PIECE_BYTES, decoder))
            }
        })
    }

    /// Compresses records.
    pub fn compress(self, records: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(records.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(records)?;
                encoder.finish()
            }
            Self::Snappy => Ok(xerial(&snap::raw::Encoder::new().compress_vec(records)?)),
            Self::Lz4 => {
                let mut encoder = FrameEncoder::new(Vec::new());
                encoder.write_all(records)?;
                encoder.finish().map_err(io::Error::other)
            }
            Self::Zstd => zstd::encode_all(records, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

/// Returns one compressed block in the framing of Java producers, which all clients can read.
fn xerial(block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    [XERIAL_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1], &length.to_be_bytes(), block].concat()
}

fn snappy(mut records: &[u8], max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut decompressed = Vec::new();
    if !records.starts_with(XERIAL_MAGIC) {
        add_block(&mut decompressed, records, max_bytes)?;
        return Ok(decompressed);
    }
    records = records.get(XERIAL_HEADER_BYTES..).ok_or(io::ErrorKind::UnexpectedEof)?;
    while !records.is_empty() {
        let mut length = [0; 4];
        records.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        let (block, rest) = records.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        add_block(&mut decompressed, block, max_bytes)?;
        records = rest;
    }
    Ok(decompressed)
}

/// Appends a decompressed block, unless the total would exceed `max_bytes`.
fn add_block(decompressed: &mut Vec<u8>, block: &[u8], max_bytes: usize) -> io::Result<()> {
    let start = decompressed.len();
    let end = start.saturating_add(snap::raw::decompress_len(block)?);
    if end > max_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    decompressed.resize(end, 0);
    let room = decompressed.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room)?;
    Ok(())
}
