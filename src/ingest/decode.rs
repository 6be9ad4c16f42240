//! The bytes of a file, in whatever encoding, to UTF-8 text.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::FileError;
use super::records::END_OF_FILE;

/// How many bytes are looked at to find the encoding of a file without a byte order mark.
pub const SNIFF_BYTES: usize = 512;

/// Replaces bytes that are not a character.
pub const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Byte order marks.
pub const MARKS: [(&Encoding, &[u8]); 3] =
    [(UTF_8, b"\xef\xbb\xbf"), (UTF_16LE, b"\xff\xfe"), (UTF_16BE, b"\xfe\xff")];

/// Decodes a file, or a part of a joined file, piece by piece.
///
/// Bytes that are not a character become U+FFFD, so that their row is rejected later. The characters U+001A at the end, which
/// DOS writes there, are removed.
pub struct TextDecoder {
    encoding: &'static Encoding,
    decoder: Decoder,
    /// Characters U+001A that were decoded last: if nothing follows, they mark the end.
    ends: usize,
}

impl std::fmt::Debug for TextDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextDecoder({})", self.encoding.name())
    }
}

/// Returns the encoding of the byte order mark, else the given one. None: it has to be found.
pub fn named(head: &[u8], given: Option<&'static Encoding>) -> Option<&'static Encoding> {
    Encoding::for_bom(head).map_or(given, |(encoding, _)| Some(encoding))
}

impl TextDecoder {
    /// Finds the encoding from the first bytes of the file, [`SNIFF_BYTES`] of them or all that there are: it is that of the byte order
    /// mark, else the given one, else found.
    ///
    /// # Errors
    /// The bytes are those of an archive or another file that is not text, or they are certainly not in the encoding that the mark or the
    /// sender names.
    pub fn for_file(head: &[u8], given: Option<&'static Encoding>) -> Result<Self, FileError> {
        refuse_what_is_not_text(head)?;
        let marked = Encoding::for_bom(head);
        let body = marked.map_or(head, |(_, length)| head.get(length..).unwrap_or_default());
        let found = evidence(first_part(body.get(..SNIFF_BYTES.min(body.len())).unwrap_or_default()));
        match (named(head, given), found) {
            (Some(named), Some(found)) if contradict(named, found) => {
                let (named, found) = (named.name(), found.name());
                Err(FileError::WrongEncoding { named, is_mark: marked.is_some(), found })
            }
            (Some(named), _) => Ok(Self::new(named)),
            (None, found) => Ok(Self::new(found.unwrap_or(UTF_8))),
        }
    }

    /// Decodes from an encoding that is known.
    pub fn new(encoding: &'static Encoding) -> Self {
        Self { encoding, decoder: encoding.new_decoder_with_bom_removal(), ends: 0 }
    }

    /// The encoding's name in the WHATWG Encoding Standard.
    pub fn name(&self) -> &'static str {
        self.encoding.name()
    }

    pub fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// The unit of the bytes: pieces must hold whole units, all but the last.
    pub fn unit(&self) -> Unit {
        match self.encoding {
            encoding if encoding == UTF_16LE => Unit::LittleEndian,
            encoding if encoding == UTF_16BE => Unit::BigEndian,
            _ => Unit::Byte,
        }
    }

    /// Decodes the next bytes to the end of `text`; `last` says that no more will come.
    pub fn decode(&mut self, mut bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        let start = text.len();
        text.resize(start + std::mem::take(&mut self.ends), END_OF_FILE);
        loop {
            let before = text.len();
            // The bound is exact enough that one turn is the rule. Without a bound (an absurd length) smaller pieces do.
            let room = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len());
            text.resize(before + room.max(16), 0);
            let free = text.get_mut(before..).unwrap_or_default();
            let (result, read, written, _) = self.decoder.decode_to_utf8(bytes, free, last);
            text.truncate(before + written);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                break;
            }
        }
        let decoded = text.get(start..).unwrap_or_default();
        let ends = decoded.iter().rev().take_while(|byte| **byte == END_OF_FILE).count();
        text.truncate(text.len() - ends);
        self.ends = if last { 0 } else { ends };
    }
}

/// What text is made of.
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

/// Finds the encoding of text that has ASCII characters, as every header and every row has: UTF-16 if most of every second byte is
/// zero, UTF-8 if no byte is. Names may be in any script, and some of its characters end in a zero byte: hence the
/// comparison. None if it cannot be seen.
pub fn evidence(bytes: &[u8]) -> Option<&'static Encoding> {
    let zeros = |parity: usize| bytes.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = (bytes.len() / 16).max(1);
    match () {
        () if odd > many && odd > even => Some(UTF_16LE),
        () if even > many && even > odd => Some(UTF_16BE),
        () if even + odd > 0 || bytes.is_empty() => None,
        () => is_utf_8(bytes).then_some(UTF_8),
    }
}

/// The bytes before the next part of a joined file, if one begins among these: see [`super::parts`].
fn first_part(head: &[u8]) -> &[u8] {
    let ends = [b"\n".as_slice(), b"\r", b"\n\0", b"\r\0", b"\x1a", b"\x1a\0"];
    let begins =
        |at: &usize| head.get(..*at).is_some_and(|before| ends.iter().any(|end| before.ends_with(end)));
    let next = MARKS.iter().filter_map(|(_, mark)| memchr::memmem::find_iter(head, mark).find(begins)).min();
    head.get(..next.unwrap_or(head.len())).unwrap_or_default()
}

/// Whether bytes are UTF-8, but for a few and for a character that is cut off at the end.
fn is_utf_8(bytes: &[u8]) -> bool {
    let valid: usize = bytes.utf8_chunks().map(|chunk| chunk.valid().len()).sum();
    valid * 10 >= bytes.len() * 9
}

/// Whether text cannot be in the encoding that is named, when it is evidently in another one.
fn contradict(named: &'static Encoding, found: &'static Encoding) -> bool {
    let is_wide = |encoding: &'static Encoding| encoding == UTF_16LE || encoding == UTF_16BE;
    named != found && (is_wide(named) || is_wide(found))
}

/// The first bytes of files that are not text, what the files are, and what to do with them.
const SIGNATURES: [(&[u8], &str, &str); 15] = [
    (b"PK\x03\x04", "a zip archive or an xlsx workbook", "unpack it, or export it as CSV"),
    (b"PK\x05\x06", "an empty zip archive", "upload the CSV file itself"),
    (b"\xd0\xcf\x11\xe0", "an xls workbook", "export it as CSV"),
    (
        b"\x1f\x8b",
        "a gzip file",
        "unpack it, or send it as the body of the request and not in a form (curl --data-binary @FILE -H 'Content-Encoding: gzip')",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "a zstd file",
        "unpack it, or send it as the body of the request and not in a form (curl --data-binary @FILE -H 'Content-Encoding: zstd')",
    ),
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

fn refuse_what_is_not_text(bytes: &[u8]) -> Result<(), FileError> {
    // "BZh", a digit, and what every block begins with: three letters alone could begin a name.
    if bytes.starts_with(b"BZh") && bytes.get(4..10) == Some(b"1AY&SY") {
        return Err(FileError::NotText { found: "a bzip2 file", remedy: "unpack it" });
    }
    if is_form(bytes) {
        return Err(FileError::IsForm);
    }
    match SIGNATURES.iter().find(|(signature, ..)| bytes.starts_with(signature)) {
        Some(&(_, found, remedy)) => Err(FileError::NotText { found, remedy }),
        None => Ok(()),
    }
}

/// Whether a file begins like a `multipart/form-data` body: `--`, a boundary, a line break, and a header of a part. Clients send that
/// as a file when somebody sets Content-Type by hand.
fn is_form(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"--") else { return false };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let is_boundary =
        lines.next().is_some_and(|line| line.iter().all(u8::is_ascii) && !line.trim_ascii().is_empty());
    let header = lines.next().unwrap_or_default();
    let is_header =
        |name: &[u8]| header.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    is_boundary && (is_header(b"content-disposition:") || is_header(b"content-type:"))
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
        (String::from_utf8(text).unwrap(), decoder.name())
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
    fn a_byte_order_mark_counts_more_than_the_encoding_that_the_sender_names() {
        let decoder = TextDecoder::for_file(b"\xfe\xff\0a\0,", Some(encoding_rs::WINDOWS_1252)).unwrap();
        assert_eq!(decoder.name(), "UTF-16BE");
        let decoder = TextDecoder::for_file(b"a,b", Some(encoding_rs::SHIFT_JIS)).unwrap();
        assert_eq!(decoder.name(), "Shift_JIS");
    }

    #[test]
    fn an_archive_is_refused_by_name() {
        let error = TextDecoder::for_file(b"PK\x03\x04....", None).unwrap_err();
        assert!(error.to_string().contains("xlsx"), "{error}");
    }

    #[test]
    fn a_multipart_form_that_is_sent_as_a_file_is_recognized() {
        for text in [
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n",
            "------WebKitFormBoundaryABC\r\ncontent-type: text/csv\r\n",
            "--x \ncontent-disposition: form-data\n",
        ] {
            assert_eq!(
                TextDecoder::for_file(text.as_bytes(), None).unwrap_err(),
                FileError::IsForm,
                "{text}"
            );
        }
        for text in ["--x,id,name\n1,2,3\n", "--\r\nContent-Type: x", "--x", "-x\r\nContent-Type: x"] {
            assert!(TextDecoder::for_file(text.as_bytes(), None).is_ok(), "{text}");
        }
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
    fn a_byte_order_mark_or_a_parameter_that_cannot_be_true_is_named() {
        let (little, big) = (encode(SAMPLE, u16::to_le_bytes), encode(SAMPLE, u16::to_be_bytes));
        let utf_8 = SAMPLE.as_bytes().to_vec();
        for (mark, named, body, found) in [
            (1, "UTF-16LE", &utf_8, "UTF-8"),
            (2, "UTF-16BE", &utf_8, "UTF-8"),
            (0, "UTF-8", &little, "UTF-16LE"),
            (0, "UTF-8", &big, "UTF-16BE"),
            (1, "UTF-16LE", &big, "UTF-16BE"),
            (2, "UTF-16BE", &little, "UTF-16LE"),
        ] {
            let error = TextDecoder::for_file(&[MARKS[mark].1, body].concat(), None).unwrap_err();
            assert_eq!(error, FileError::WrongEncoding { named, is_mark: true, found });
            let given = Encoding::for_label(named.as_bytes());
            let error = TextDecoder::for_file(body, given).unwrap_err();
            assert_eq!(error, FileError::WrongEncoding { named, is_mark: false, found });
        }
        assert!(TextDecoder::for_file(&utf_8, Some(encoding_rs::SHIFT_JIS)).is_ok());
        let cyrillic = "Игрок,Провайдер\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        assert!(TextDecoder::for_file(&[MARKS[1].1, &cyrillic].concat(), None).is_ok());
    }

    #[test]
    fn the_marks_of_dos_at_the_end_are_removed_in_any_pieces() {
        let text = format!("{SAMPLE}\u{1a}x\u{1a}\u{1a}");
        let expected = text.trim_end_matches('\u{1a}');
        for bytes in
            [encode(&text, u16::to_le_bytes), encode(&text, u16::to_be_bytes), text.as_bytes().to_vec()]
        {
            for size in [1, 2, 3, 1000] {
                assert_eq!(decode(&bytes, size).0, expected);
            }
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
        fn any_bytes_decode_to_text(bytes in proptest::collection::vec(any::<u8>(), 0..2000), size in 1_usize..99) {
            if TextDecoder::for_file(&bytes, None).is_ok() {
                decode(&bytes, size);
            }
        }
    }
}
