//! Converts the UTF-8 of the CSV writer into the file's encoding.

use std::io::{self, Write};

use encoding_rs::{Decoder, UTF_8};

use crate::settings::FileEncoding;

/// UTF-16 code units that are encoded at once.
const UNITS: usize = 16 << 10;

/// Accepts UTF-8 in pieces of any size, which may end inside a character. Writes a byte order mark and then the text in one encoding.
pub(super) struct Encoded<W> {
    out: W,
    encoding: FileEncoding,
    decoder: Decoder,
    units: Vec<u16>,
    bytes: Vec<u8>,
}

impl<W: Write> Encoded<W> {
    pub(super) fn new(out: W, encoding: FileEncoding) -> io::Result<Self> {
        let decoder = UTF_8.new_decoder_without_bom_handling();
        let mut encoded = Self { out, encoding, decoder, units: vec![0; UNITS], bytes: Vec::new() };
        encoded.write_all("\u{feff}".as_bytes())?;
        Ok(encoded)
    }

    /// Flushes and returns the inner writer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_units(&mut self, count: usize) -> io::Result<()> {
        let units = self.units.get(..count).unwrap_or_default();
        self.bytes.clear();
        match self.encoding {
            FileEncoding::Utf16be => self.bytes.extend(units.iter().flat_map(|unit| unit.to_be_bytes())),
            FileEncoding::Utf16le | FileEncoding::Utf8 => {
                self.bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            }
        }
        self.out.write_all(&self.bytes)
    }
}

impl<W: Write> Write for Encoded<W> {
    fn write(&mut self, utf8: &[u8]) -> io::Result<usize> {
        if self.encoding == FileEncoding::Utf8 {
            return self.out.write(utf8);
        }
        let (_, read, written, _) = self.decoder.decode_to_utf16(utf8, &mut self.units, false);
        self.write_units(written)?;
        Ok(read)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: FileEncoding, text: &str) -> Vec<u8> {
        let mut encoded = Encoded::new(Vec::new(), encoding).unwrap();
        for byte in text.as_bytes() {
            encoded.write_all(&[*byte]).unwrap();
        }
        encoded.finish().unwrap()
    }

    #[test]
    fn a_character_split_between_two_writes_is_written_completely() {
        assert_eq!(encoded(FileEncoding::Utf16le, "é🍀"), [0xff, 0xfe, 0xe9, 0, 0x3c, 0xd8, 0x40, 0xdf]);
        assert_eq!(encoded(FileEncoding::Utf16be, "é🍀"), [0xfe, 0xff, 0, 0xe9, 0xd8, 0x3c, 0xdf, 0x40]);
        assert_eq!(encoded(FileEncoding::Utf8, "é"), [0xef, 0xbb, 0xbf, 0xc3, 0xa9]);
    }
}
