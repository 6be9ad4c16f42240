//! ClickHouse's own compressed blocks (`compress=1`, `decompress=1`).
//!
//! A block is 16 bytes of checksum (CityHash128 of version 1.0.2 over the rest), a byte for the method, the
//! compressed size with these nine bytes of header, the size of the data, and the compressed data.

use std::io::{self, Read};

/// Largest accepted block, compressed or not. ClickHouse's clients send blocks of 1 MiB.
const MAX_BLOCK: usize = 64 << 20;

/// Bytes of data in one block of an answer.
pub(super) const ANSWER_BLOCK: usize = 1 << 20;

const CHECKSUM: usize = 16;
const HEADER: usize = 9;

const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// Makes a block of at most [`ANSWER_BLOCK`] bytes of data.
pub(super) fn compress(data: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::block::compress(data);
    let mut block = vec![0; CHECKSUM];
    block.push(METHOD_LZ4);
    block.extend(le_size(compressed.len() + HEADER));
    block.extend(le_size(data.len()));
    block.extend(compressed);
    let (checksum, rest) = block.split_at_mut(CHECKSUM);
    checksum.copy_from_slice(&checksum_of(rest));
    block
}

fn le_size(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes()
}

/// ClickHouse writes the two halves of the hash the other way round.
fn checksum_of(bytes: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(bytes).rotate_left(64).to_le_bytes()
}

/// Reads blocks and gives their data.
pub(super) struct Reader<R> {
    inner: R,
    data: Vec<u8>,
    position: usize,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, data: Vec::new(), position: 0 }
    }

    /// Reads the next block; `false` at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut checksum = [0_u8; CHECKSUM];
        if !read_or_end(&mut self.inner, &mut checksum)? {
            return Ok(false);
        }
        let mut header = [0_u8; HEADER];
        self.inner.read_exact(&mut header)?;
        let [method, c0, c1, c2, c3, d0, d1, d2, d3] = header;
        let compressed_size = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
        let size = u32::from_le_bytes([d0, d1, d2, d3]) as usize;
        if !(HEADER..=MAX_BLOCK).contains(&compressed_size) || size > MAX_BLOCK {
            return Err(invalid(format!(
                "compressed block too large: {compressed_size} bytes for {size} bytes of data (the limit is {MAX_BLOCK})"
            )));
        }
        let mut block = header.to_vec();
        (&mut self.inner).take((compressed_size - HEADER) as u64).read_to_end(&mut block)?;
        if block.len() != compressed_size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if checksum_of(&block) != checksum {
            return Err(invalid("the checksum of a compressed block does not match".to_owned()));
        }
        self.data = decompress(method, block.get(HEADER..).unwrap_or_default(), size)?;
        self.position = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.data.get(self.position..).unwrap_or_default();
            if !rest.is_empty() {
                let read = (&*rest).read(buffer)?;
                self.position += read;
                return Ok(read);
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
    }
}

fn decompress(method: u8, compressed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let data = match method {
        METHOD_NONE => compressed.to_vec(),
        METHOD_LZ4 => {
            lz4_flex::block::decompress(compressed, size).map_err(|error| invalid(error.to_string()))?
        }
        METHOD_ZSTD => zstd::bulk::decompress(compressed, size)?,
        other => {
            return Err(invalid(format!("the compression method {other:#04x} of a block is not supported")));
        }
    };
    if data.len() == size {
        Ok(data)
    } else {
        Err(invalid("a compressed block does not have the size in its header".to_owned()))
    }
}

/// Fills `buffer`; `false` if the input ended before its first byte.
fn read_or_end(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let Some(first) = buffer.get_mut(..1) else {
        return Ok(true);
    };
    loop {
        match input.read(first) {
            Ok(0) => return Ok(false),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    input.read_exact(buffer.get_mut(1..).unwrap_or_default())?;
    Ok(true)
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        Reader::new(bytes).read_to_end(&mut data).map(|_| data)
    }

    /// Makes a block of data that is already compressed.
    fn block(method: u8, compressed: &[u8], size: usize) -> Vec<u8> {
        let mut rest = vec![method];
        rest.extend(le_size(compressed.len() + HEADER));
        rest.extend(le_size(size));
        rest.extend(compressed);
        [checksum_of(&rest).to_vec(), rest].concat()
    }

    #[test]
    fn blocks_of_every_method_are_read_in_a_row() {
        let zstd = zstd::bulk::compress(b"three", 1).unwrap();
        let bytes =
            [compress(b"one"), block(METHOD_NONE, b"two", 3), block(METHOD_ZSTD, &zstd, 5), compress(b"")]
                .concat();
        assert_eq!(read(&bytes).unwrap(), b"onetwothree");
    }

    #[test]
    fn a_damaged_block_is_refused() {
        let good = compress(b"some data, some data, some data");
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert!(read(&bad).is_err(), "byte {position}");
            if position > 0 {
                assert!(read(&good[..position]).is_err(), "cut at {position}");
            }
        }
    }

    #[test]
    fn a_block_with_a_wrong_size_in_its_header_allocates_no_memory() {
        assert!(read(&block(METHOD_NONE, b"x", MAX_BLOCK + 1)).is_err());
        let mut huge = vec![0; CHECKSUM];
        huge.push(METHOD_LZ4);
        huge.extend(u32::MAX.to_le_bytes());
        huge.extend(1_u32.to_le_bytes());
        assert!(read(&huge).is_err());
        assert!(read(&block(METHOD_LZ4, &lz4_flex::block::compress(b"abc"), 2)).is_err());
    }
}
