//! The bytes of a file, in whatever encoding, to UTF-8 text.
//!
//! UTF-16, which most exports are, is decoded here: sixteen characters at a time where they are ASCII, which is some times
//! as fast as a decoder for everything (docs/BENCHMARKS.md has the figures). All else is `encoding_rs`.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::FileError;

/// How many bytes are looked at to find the encoding of a file without a byte order mark.
pub const SNIFF_BYTES: usize = 512;

/// UTF-16 units that are looked at together.
const BLOCK_UNITS: usize = 16;

/// What stands for bytes that are no character.
pub const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Decodes a file piece by piece.
///
/// The encoding is the byte order mark's, else the given one, else found from the first bytes. Bytes that are no
/// character become U+FFFD, by which the row that they stand in is rejected later.
#[derive(Debug)]
pub struct TextDecoder {
    encoding: &'static Encoding,
    form: Form,
}

enum Form {
    Utf16(Utf16Decoder),
    Other(Box<Decoder>),
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Utf16(_)) { "Utf16" } else { "Other" })
    }
}

impl TextDecoder {
    /// Finds the encoding from the first bytes of the file, [`SNIFF_BYTES`] of them or all that there are.
    ///
    /// # Errors
    /// They are those of an archive or another file that is no text.
    pub fn for_file(head: &[u8], given: Option<&'static Encoding>) -> Result<Self, FileError> {
        refuse_what_is_no_text(head)?;
        let marked = Encoding::for_bom(head).map(|(encoding, _)| encoding);
        let encoding = marked.or(given).unwrap_or_else(|| sniff(head));
        let form = if encoding == UTF_16LE || encoding == UTF_16BE {
            Form::Utf16(Utf16Decoder { is_big_endian: encoding == UTF_16BE, at_start: true, high: None })
        } else {
            Form::Other(Box::new(encoding.new_decoder_with_bom_removal()))
        };
        Ok(Self { encoding, form })
    }

    /// The encoding's name in the WHATWG Encoding Standard.
    pub fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    /// How many bytes a unit of the text has: pieces must hold whole units, all but the last.
    pub fn unit(&self) -> Unit {
        match &self.form {
            Form::Utf16(Utf16Decoder { is_big_endian: true, .. }) => Unit::BigEndian,
            Form::Utf16(_) => Unit::LittleEndian,
            Form::Other(_) => Unit::Byte,
        }
    }

    /// Decodes the next bytes to the end of `text`; `last` says that no more will come.
    pub fn decode(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        match &mut self.form {
            Form::Utf16(decoder) => decoder.decode(bytes, last, text),
            Form::Other(decoder) => decode_other(decoder, bytes, last, text),
        }
    }
}

/// What text is made of: what a line end is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Byte,
    LittleEndian,
    BigEndian,
}

impl Unit {
    /// Bytes.
    pub fn width(self) -> usize {
        if self == Self::Byte { 1 } else { 2 }
    }

    /// Returns the ASCII character that begins at an index, if one does.
    pub fn ascii_at(self, bytes: &[u8], index: usize) -> Option<u8> {
        match (self, bytes.get(index..index + self.width())?) {
            (Self::Byte, &[byte]) | (Self::LittleEndian, &[byte, 0]) | (Self::BigEndian, &[0, byte]) => {
                Some(byte)
            }
            _ => None,
        }
    }
}

fn decode_other(decoder: &mut Decoder, mut bytes: &[u8], last: bool, text: &mut Vec<u8>) {
    loop {
        let before = text.len();
        // The bound is exact enough that one turn is the rule; without it (an absurd length) pieces do.
        let room = decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len());
        text.resize(before + room.max(16), 0);
        let (result, read, written, _) =
            decoder.decode_to_utf8(bytes, text.get_mut(before..).unwrap_or_default(), last);
        text.truncate(before + written);
        bytes = bytes.get(read..).unwrap_or_default();
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

/// UTF-16 of either order, in pieces of whole units.
#[derive(Debug)]
struct Utf16Decoder {
    is_big_endian: bool,
    /// No unit has come yet: a byte order mark may.
    at_start: bool,
    /// The first half of a surrogate pair, whose second half has not come yet.
    high: Option<u16>,
}

impl Utf16Decoder {
    fn decode(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        if self.is_big_endian {
            self.decode_units(bytes, u16::from_be_bytes, text);
        } else {
            self.decode_units(bytes, u16::from_le_bytes, text);
        }
        if last && (self.high.take().is_some() || bytes.len() % 2 == 1) {
            text.extend_from_slice(REPLACEMENT);
        }
    }

    #[inline(always)]
    fn decode_units(&mut self, bytes: &[u8], unit: fn([u8; 2]) -> u16, text: &mut Vec<u8>) {
        text.reserve(bytes.len() / 2 + BLOCK_UNITS);
        let (units, _) = bytes.as_chunks::<2>();
        let (blocks, rest) = units.as_chunks::<BLOCK_UNITS>();
        for block in blocks {
            let units = block.map(unit);
            let all = units.iter().fold(0, |all, unit| all | unit);
            if all < 0x80 && self.high.is_none() {
                text.extend_from_slice(&units.map(|unit| unit as u8));
                self.at_start = false;
            } else {
                units.into_iter().for_each(|unit| self.push(unit, text));
            }
        }
        rest.iter().for_each(|&bytes| self.push(unit(bytes), text));
    }

    /// Source: <https://www.rfc-editor.org/rfc/rfc2781#section-2.2>.
    fn push(&mut self, unit: u16, text: &mut Vec<u8>) {
        let is_mark = std::mem::take(&mut self.at_start) && unit == 0xfeff;
        match (self.high.take(), unit) {
            (None, _) if is_mark => {}
            (None, 0..0x80) => text.push(unit as u8),
            (None, 0xd800..0xdc00) => self.high = Some(unit),
            (Some(high), 0xdc00..0xe000) => {
                let code = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                push_character(code, text);
            }
            (None, _) => push_character(u32::from(unit), text),
            (Some(_), _) => {
                text.extend_from_slice(REPLACEMENT);
                self.push(unit, text);
            }
        }
    }
}

/// Appends a character; a lone half of a surrogate pair is none.
fn push_character(code: u32, text: &mut Vec<u8>) {
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Finds the encoding: UTF-16 where every second byte of the (ASCII) names of the header is zero, else UTF-8. Names that are
/// not ours may be in any script, and some of its characters end in a zero byte: hence the comparison.
fn sniff(bytes: &[u8]) -> &'static Encoding {
    let head = bytes.get(..SNIFF_BYTES.min(bytes.len())).unwrap_or_default();
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = head.len() / 16;
    match () {
        () if odd > many && odd > even => UTF_16LE,
        () if even > many => UTF_16BE,
        () => UTF_8,
    }
}

/// The first bytes of files that are no text, what they are, and what to do with them.
const SIGNATURES: [(&[u8], &str, &str); 15] = [
    (b"PK\x03\x04", "a zip archive or an xlsx workbook", "unpack it, or export it as CSV"),
    (b"PK\x05\x06", "an empty zip archive", "upload the CSV file itself"),
    (b"\xd0\xcf\x11\xe0", "an xls workbook", "export it as CSV"),
    (b"\x1f\x8b", "a gzip file", "unpack it, or send it with Content-Encoding: gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it, or send it with Content-Encoding: zstd"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it"),
    (b"Rar!\x1a\x07", "a rar archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"PAR1\x15", "a Parquet file", "export it as CSV"),
    (b"ARROW1\0\0", "an Arrow file", "export it as CSV"),
    (b"Obj\x01", "an Avro file", "export it as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF document", "export the table as CSV"),
    (b"\xff\xfe\0\0", "UTF-32 text", "save it as UTF-8 or UTF-16"),
    (b"\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8 or UTF-16"),
];

fn refuse_what_is_no_text(bytes: &[u8]) -> Result<(), FileError> {
    // "BZh", a digit, and what every block begins with: three letters alone could begin a name.
    if bytes.starts_with(b"BZh") && bytes.get(4..10) == Some(b"1AY&SY") {
        return Err(FileError::NotText { found: "a bzip2 file", remedy: "unpack it" });
    }
    match SIGNATURES.iter().find(|(signature, ..)| bytes.starts_with(signature)) {
        Some(&(_, found, remedy)) => Err(FileError::NotText { found, remedy }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "created_timestamp,game_instance_id\r\n2019-10-22 08:20:41,20000 Ä日🎲\r\n";

    fn encode(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    fn decode(bytes: &[u8], size: usize) -> (String, &'static str) {
        let mut decoder = TextDecoder::for_file(bytes, None).unwrap();
        let mut text = Vec::new();
        let size = size.max(1) * decoder.unit().width();
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % decoder.unit().width());
        for piece in whole.chunks(size) {
            decoder.decode(piece, false, &mut text);
        }
        decoder.decode(rest, true, &mut text);
        (String::from_utf8(text).unwrap(), decoder.encoding())
    }

    #[test]
    fn both_orders_of_utf_16_and_utf_8_are_found_with_and_without_a_mark() {
        let marked = format!("\u{feff}{SAMPLE}");
        for (bytes, encoding) in [
            (encode(SAMPLE, u16::to_le_bytes), "UTF-16LE"),
            (encode(SAMPLE, u16::to_be_bytes), "UTF-16BE"),
            (SAMPLE.as_bytes().to_vec(), "UTF-8"),
            (encode(&marked, u16::to_le_bytes), "UTF-16LE"),
            (encode(&marked, u16::to_be_bytes), "UTF-16BE"),
            (marked.as_bytes().to_vec(), "UTF-8"),
        ] {
            for size in [1, 3, 1000] {
                assert_eq!(decode(&bytes, size), (SAMPLE.to_owned(), encoding));
            }
        }
    }

    #[test]
    fn a_mark_counts_more_than_what_the_sender_says() {
        let decoder = TextDecoder::for_file(b"\xfe\xff\0a", Some(encoding_rs::WINDOWS_1252)).unwrap();
        assert_eq!(decoder.encoding(), "UTF-16BE");
        let decoder = TextDecoder::for_file(b"a,b", Some(encoding_rs::SHIFT_JIS)).unwrap();
        assert_eq!(decoder.encoding(), "Shift_JIS");
    }

    #[test]
    fn an_archive_is_refused_by_name() {
        let error = TextDecoder::for_file(b"PK\x03\x04....", None).unwrap_err();
        assert!(error.to_string().contains("xlsx"), "{error}");
    }

    #[test]
    fn utf_16_is_found_under_names_that_are_not_ascii_and_utf_32_is_refused() {
        let text = format!("{},{SAMPLE}", "一日本語の列".repeat(30));
        assert_eq!(decode(&encode(&text, u16::to_le_bytes), 1000), (text.clone(), "UTF-16LE"));
        assert_eq!(decode(&encode(&text, u16::to_be_bytes), 1000), (text, "UTF-16BE"));
        for bytes in [b"\xff\xfe\0\0i\0\0\0", b"\0\0\xfe\xff\0\0\0i"] {
            assert!(matches!(TextDecoder::for_file(bytes, None), Err(FileError::NotText { .. })));
        }
    }

    #[test]
    fn names_that_look_like_a_signature_are_text() {
        for text in ["PAR1,id,name\n", "BZh,id,name\n"] {
            assert!(TextDecoder::for_file(text.as_bytes(), None).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_units_decode_as_encoding_rs_decodes_them(
            units in proptest::collection::vec(
                prop_oneof![8 => 0_u16..0x80, 1 => 0xd800_u16..0xe000, 1 => any::<u16>()], 0..200,
            ),
            odd: bool, is_big_endian: bool, size in 1_usize..60,
        ) {
            // With a NUL behind it, the mark is that of UTF-32.
            prop_assume!(units.first() != Some(&0));
            let (encoding, order): (_, fn(u16) -> [u8; 2]) =
                if is_big_endian { (UTF_16BE, u16::to_be_bytes) } else { (UTF_16LE, u16::to_le_bytes) };
            let mark = order(0xfeff);
            let mut bytes: Vec<u8> = mark.into_iter().chain(units.into_iter().flat_map(order)).collect();
            bytes.extend(odd.then_some(0x41));
            let (expected, _) = encoding.decode_with_bom_removal(&bytes);
            // Whether a lone half before an odd byte is one fault or two is a matter of taste.
            let joined = |text: &str| text.trim_end_matches('\u{fffd}').to_owned();
            prop_assert_eq!(joined(&decode(&bytes, size).0), joined(&expected));
        }

        #[test]
        fn any_bytes_decode_to_text(bytes in proptest::collection::vec(any::<u8>(), 0..2000), size in 1_usize..99) {
            if TextDecoder::for_file(&bytes, None).is_ok() {
                decode(&bytes, size);
            }
        }
    }
}
