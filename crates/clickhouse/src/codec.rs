//! Compression of bodies, both ways: HTTP content codings, and ClickHouse's own blocks inside of them.
//!
//! Synchronous, because it runs on the thread that calls the engine.

use std::io::{self, Read, Write};

use axum::http::HeaderMap;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::blocks;
use super::exception::{Code, Exception};
use roundhouse_listener::{accept, content};

/// Largest window of a zstd body, as a power of two: 128 MiB, as `zstd --long` uses.
const ZSTD_WINDOW_LOG: u32 = 27;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The coding of a request's body.
    ///
    /// # Errors
    /// It is not supported.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Exception> {
        let Some(coding) = content::coding(headers) else { return Ok(None) };
        match coding.as_str() {
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "zstd" => Ok(Some(Self::Zstd)),
            "lz4" => Ok(Some(Self::Lz4)),
            other => Err(Exception::new(
                Code::NotImplemented,
                format_args!(
                    "Unknown compression method '{other}'. Only gzip, deflate, zstd and lz4 are supported"
                ),
            )),
        }
    }

    /// The coding of an answer: the first one in ClickHouse's order that the client accepts.
    pub(super) fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let accepted: Vec<String> = accept::codings(headers).collect();
        [Self::Zstd, Self::Lz4, Self::Gzip, Self::Deflate]
            .into_iter()
            .find(|coding| accepted.iter().any(|name| name == coding.name()))
    }
}

/// Decodes a request's body, and ClickHouse's blocks if `blocks` is set.
///
/// # Errors
/// The decoder cannot be created.
pub(super) fn decoder(
    body: impl Read + 'static,
    coding: Option<Coding>,
    blocks: bool,
) -> io::Result<Box<dyn Read>> {
    let plain: Box<dyn Read> = match coding {
        None => Box::new(body),
        Some(Coding::Gzip) => Box::new(MultiGzDecoder::new(body)),
        Some(Coding::Deflate) => Box::new(ZlibDecoder::new(body)),
        Some(Coding::Lz4) => Box::new(FrameDecoder::new(body)),
        Some(Coding::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(body)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(if blocks { Box::new(blocks::Reader::new(plain)) } else { plain })
}

/// Encodes an answer. The encoded bytes are removed in pieces.
pub(super) struct Encoder {
    blocks: bool,
    sink: Sink,
}

enum Sink {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(FrameEncoder<Vec<u8>>),
}

impl Encoder {
    /// # Errors
    /// The encoder cannot be created.
    pub(super) fn new(coding: Option<Coding>, blocks: bool) -> io::Result<Self> {
        let sink = match coding {
            None => Sink::Plain(Vec::new()),
            Some(Coding::Gzip) => Sink::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Some(Coding::Deflate) => Sink::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
            Some(Coding::Zstd) => Sink::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
            Some(Coding::Lz4) => Sink::Lz4(FrameEncoder::new(Vec::new())),
        };
        Ok(Self { blocks, sink })
    }

    /// Encodes `data`.
    ///
    /// # Errors
    /// The encoder failed, which happens only without free memory.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if !self.blocks {
            return self.write_coded(data);
        }
        for part in data.chunks(blocks::ANSWER_BLOCK) {
            let block = blocks::compress(part);
            self.write_coded(&block)?;
        }
        Ok(())
    }

    fn write_coded(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(out) => out.write_all(data),
            Sink::Gzip(out) => out.write_all(data),
            Sink::Deflate(out) => out.write_all(data),
            Sink::Zstd(out) => out.write_all(data),
            Sink::Lz4(out) => out.write_all(data),
        }
    }

    /// Moves everything written so far to [`Encoder::encoded`].
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(_) => Ok(()),
            Sink::Gzip(out) => out.flush(),
            Sink::Deflate(out) => out.flush(),
            Sink::Zstd(out) => out.flush(),
            Sink::Lz4(out) => out.flush(),
        }
    }

    /// The encoded bytes that have not been removed yet.
    pub(super) fn encoded(&mut self) -> &mut Vec<u8> {
        match &mut self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.get_mut(),
            Sink::Deflate(out) => out.get_mut(),
            Sink::Zstd(out) => out.get_mut(),
            Sink::Lz4(out) => out.get_mut(),
        }
    }

    /// Finishes encoding and returns the remaining bytes.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.sink {
            Sink::Plain(out) => Ok(out),
            Sink::Gzip(out) => out.finish(),
            Sink::Deflate(out) => out.finish(),
            Sink::Zstd(out) => out.finish(),
            Sink::Lz4(out) => out.finish().map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn every_coding_gives_back_what_was_written_with_and_without_blocks() {
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for coding in [None, Some(Coding::Gzip), Some(Coding::Deflate), Some(Coding::Zstd), Some(Coding::Lz4)]
        {
            for blocks in [false, true] {
                let mut encoder = Encoder::new(coding, blocks).unwrap();
                let mut encoded = Vec::new();
                for part in data.chunks(700_001) {
                    encoder.write(part).unwrap();
                    encoder.flush().unwrap();
                    encoded.append(encoder.encoded());
                }
                encoded.extend(encoder.finish().unwrap());
                let mut decoded = Vec::new();
                let mut reader = decoder(io::Cursor::new(encoded), coding, blocks).unwrap();
                reader.read_to_end(&mut decoded).unwrap();
                assert!(decoded == data, "{coding:?}, blocks: {blocks}");
            }
        }
    }

    #[test]
    fn the_first_accepted_coding_in_the_server_s_order_is_used() {
        let accept = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
            Coding::of_answer(&headers)
        };
        assert_eq!(accept("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(accept("gzip;q=0.5,LZ4"), Some(Coding::Lz4));
        assert_eq!(accept("zstd;q=0.0, lz4;q=0, gzip"), Some(Coding::Gzip));
        assert_eq!(accept("br"), None);
    }
}
