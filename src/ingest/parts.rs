//! Files that were joined, each in its own encoding.
//!
//! A byte order mark at the start of a line shows that another file begins there, and in which encoding it is. So does one after the
//! character U+001A, which DOS writes at the end of a file, even if no line ends there. It counts if the bytes after it are evidently in this
//! encoding: in another one the same bytes may be characters of a value. A change of the encoding without a byte order mark is found in
//! the rows: see [`other_encoding`].

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::memmem;

use super::decode::{MARKS, TextDecoder, Unit, evidence};
use super::records::END_OF_FILE;

/// Bytes after a byte order mark that are looked at.
const WINDOW_BYTES: usize = 64;

/// Least bytes of a row that show its encoding: NUL bytes soon do, characters of any script may be a value.
const LEAST_NARROW_BYTES: usize = 8;
const LEAST_WIDE_BYTES: usize = 32;

/// Bytes at the end of a valid row, in UTF-8, none of which is ASCII if they are of another file.
const NOISE_BYTES: usize = 48;

/// Bytes at the end of a row that are looked at.
const TELLING_BYTES: usize = 1024;

/// How many of the next bytes are of the same part, and what follows.
#[derive(Debug)]
pub struct Step {
    pub length: usize,
    /// The decoder of the part that begins then. None: more bytes are needed, or the file has ended.
    pub next: Option<TextDecoder>,
}

/// What stands before the next byte of a file, as far as it says whether another file may begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    is_line_start: bool,
    /// The character U+001A stands directly before the next byte.
    is_file_end: bool,
}

impl Tail {
    /// At the start of a file.
    pub const START: Self = Self { is_line_start: true, is_file_end: false };

    /// Whether a line begins here, without regard to characters U+001A.
    pub fn is_line_start(self) -> bool {
        self.is_line_start
    }

    /// What stands before the next byte after these bytes, which are whole units.
    #[must_use]
    pub fn after(self, bytes: &[u8], unit: Unit) -> Self {
        let mut before = bytes.rchunks_exact(unit.width()).map(|bytes| unit.ascii_at(bytes, 0)).peekable();
        let Some(last) = before.peek() else { return self };
        let is_file_end = *last == Some(END_OF_FILE);
        let is_line_start = match before.find(|character| *character != Some(END_OF_FILE)) {
            Some(character) => matches!(character, Some(b'\r' | b'\n')),
            None => self.is_line_start,
        };
        Self { is_line_start, is_file_end }
    }

    /// Whether a byte order mark that comes next begins another file; `is_same`: it is that of the encoding before it, and may also be
    /// a character of no width.
    fn may_begin_file(self, is_same: bool) -> bool {
        self.is_file_end || (self.is_line_start && !is_same)
    }
}

/// Finds where the part ends that `bytes` go on with, in an encoding. `tail`: what stands before these bytes; `last`: no more bytes will
/// come. What is left over must be given again, with the bytes that follow.
pub fn next_step(bytes: &[u8], decoder: &TextDecoder, tail: Tail, last: bool) -> Step {
    let unit = decoder.unit();
    let whole = if last { bytes.len() } else { bytes.len() - bytes.len() % unit.width() };
    let bytes = bytes.get(..whole).unwrap_or_default();
    let begins_part = |at: usize, is_same: bool| {
        let before = bytes.get(..at).filter(|_| at.is_multiple_of(unit.width()));
        before.is_some_and(|before| tail.after(before, unit).may_begin_file(is_same))
    };
    let mut step = Step { length: whole, next: None };
    for (encoding, mark) in MARKS {
        let is_same = encoding == decoder.encoding();
        for at in memmem::find_iter(bytes, mark).filter(|at| begins_part(*at, is_same)) {
            if at >= step.length {
                break;
            }
            let after = bytes.get(at + mark.len()..).unwrap_or_default();
            if after.len() < WINDOW_BYTES && !last {
                step = Step { length: at, next: None };
            } else if is_in(encoding, after) {
                step = Step { length: at, next: Some(TextDecoder::new(encoding)) };
            }
        }
        let is_half = |length: &usize| {
            let at = whole.checked_sub(*length).filter(|at| begins_part(*at, is_same));
            at.and_then(|at| bytes.get(at..)).is_some_and(|end| mark.starts_with(end))
        };
        if !last
            && step.length == whole
            && let Some(length) = (1..mark.len()).find(is_half)
        {
            step.length = whole - length;
        }
    }
    step
}

/// Whether the bytes after a byte order mark are in its encoding.
pub(super) fn is_in(encoding: &'static Encoding, after: &[u8]) -> bool {
    let window = after.get(..WINDOW_BYTES.min(after.len())).unwrap_or_default();
    window.is_empty() || evidence(window) == Some(encoding)
}

/// Returns the encoding of the bytes that a row was decoded from, if they are evidently in another one than `unit`.
/// `raw`: the row, or the end of it, decoded.
pub fn other_encoding(raw: &[u8], unit: Unit) -> Option<&'static str> {
    let bytes = match unit {
        Unit::Byte => raw.get(raw.len().saturating_sub(TELLING_BYTES)..)?.to_vec(),
        Unit::LittleEndian => encoded(raw, u16::to_le_bytes),
        Unit::BigEndian => encoded(raw, u16::to_be_bytes),
    };
    let least = if unit == Unit::Byte { LEAST_NARROW_BYTES } else { LEAST_WIDE_BYTES };
    if bytes.len() < least {
        return None;
    }
    let found = evidence(&bytes)?;
    match unit {
        // The parity depends on where the line begins.
        Unit::Byte if found != UTF_8 => is_every_second_zero(&bytes).then_some("UTF-16"),
        Unit::LittleEndian if found != UTF_16LE => Some(found.name()),
        Unit::BigEndian if found != UTF_16BE => Some(found.name()),
        _ => None,
    }
}

/// Whether a valid row of UTF-16 may end in bytes of another file, which had no line end before it: they are characters then, none of
/// which is ASCII. Rarely, so are the last ones of a value.
#[inline]
pub fn may_end_in_noise(raw: &[u8], unit: Unit) -> bool {
    unit != Unit::Byte
        && raw
            .len()
            .checked_sub(NOISE_BYTES)
            .and_then(|at| raw.get(at..))
            .is_some_and(|end| end.iter().all(|byte| !byte.is_ascii()))
}

/// Whether nearly every second byte is zero, as of ASCII in UTF-16; a hole in a file is all zeros.
fn is_every_second_zero(bytes: &[u8]) -> bool {
    let pairs =
        bytes.windows(2).filter(|pair| (pair.first() == Some(&0)) != (pair.last() == Some(&0))).count();
    pairs * 4 > bytes.len() * 3
}

/// The last characters of a text, as they were before it was decoded: those after the last ASCII character, if they are enough.
/// Bytes of another encoding are no ASCII characters in UTF-16, and the row before them may have no line end.
fn encoded(raw: &[u8], unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let encode =
        |text: &[u8]| -> Vec<u8> { String::from_utf8_lossy(text).encode_utf16().flat_map(unit).collect() };
    let end = raw.get(raw.len().saturating_sub(TELLING_BYTES)..).unwrap_or_default();
    let start = end.iter().rposition(u8::is_ascii).map_or(0, |at| at + 1);
    let mut bytes = encode(end.get(start..).unwrap_or_default());
    if bytes.len() < LEAST_WIDE_BYTES {
        return encode(end);
    }
    // The first of them may still be of the row.
    bytes.drain(..bytes.len().saturating_sub(WINDOW_BYTES));
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::columns::Columns;
    use crate::ingest::FileError;
    use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;

    /// Line and name of each row; line, byte offset and text of each reject.
    #[derive(Debug, Default, PartialEq)]
    struct Kept {
        rows: Vec<(u64, String)>,
        rejects: Vec<(u64, u64, String)>,
    }

    impl RowSink for Kept {
        type Error = std::convert::Infallible;

        fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
            let name = String::from_utf8(row.values[1].text(row.buffer).to_vec()).unwrap();
            self.rows.push((row.line, name));
            Ok(())
        }

        fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error> {
            self.rejects.push((reject.line, reject.byte_offset, raw.to_owned()));
            Ok(())
        }
    }

    fn read(encoding: Option<&'static Encoding>, bytes: &[u8], size: usize) -> (Kept, Option<FileError>) {
        let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
        let options = ReadOptions { encoding, ..ReadOptions::default() };
        let mut reader = RowReader::new(columns, options, 100_000);
        let mut kept = Kept::default();
        for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
            match reader.push(piece, last, &mut kept) {
                Ok(()) => {}
                Err(RowsError::File(error)) => return (kept, Some(error)),
                Err(RowsError::Sink(never)) => match never {},
            }
        }
        (kept, None)
    }

    /// Text in one of the [`MARKS`]' encodings.
    fn written(encoding: usize, text: &str) -> Vec<u8> {
        match encoding {
            0 => text.as_bytes().to_vec(),
            1 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// A file of a header, rows, and a row that is not valid in its middle.
    fn file(rows: usize) -> String {
        let half = "1,Zoë 日本 🎲\n".repeat(rows / 2);
        format!("id,name\n{half}x,bad\n{half}")
    }

    fn file_of(encoding: usize, marked: bool, rows: usize) -> Vec<u8> {
        written(encoding, &format!("{}{}", if marked { "\u{feff}" } else { "" }, file(rows)))
    }

    #[test]
    fn each_part_with_a_byte_order_mark_is_read_in_its_encoding() {
        for (first, second, third) in
            [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 2, 0), (2, 1, 1), (2, 0, 2), (1, 1, 0)]
        {
            let parts = [
                file_of(first, false, 40),
                file_of(second, true, 300),
                file_of(third, true, 20),
                written(third, "7,end"),
                written(third, "\u{1a}"),
            ];
            let offsets = [0, parts[0].len() as u64, (parts[0].len() + parts[1].len()) as u64];
            let bytes = parts.concat();
            let whole = read(None, &bytes, bytes.len());
            assert_eq!((whole.0.rows.len(), &whole.1), (361, &None), "{first} {second} {third}");
            assert!(whole.0.rows.iter().all(|(_, name)| name == "Zoë 日本 🎲" || name == "end"));
            let lines: Vec<u64> = whole.0.rejects.iter().map(|(line, ..)| *line).collect();
            assert_eq!(lines, [22, 42 + 152, 42 + 302 + 12]);
            for ((_, offset, raw), (start, (encoding, rows, marked))) in whole
                .0
                .rejects
                .iter()
                .zip(offsets.into_iter().zip([(first, 20, false), (second, 150, true), (third, 10, true)]))
            {
                let mark = if marked { MARKS[encoding].1.len() } else { 0 };
                let before = written(encoding, &format!("id,name\n{}", "1,Zoë 日本 🎲\n".repeat(rows)));
                assert_eq!((*offset, raw.as_str()), (start + (mark + before.len()) as u64, "x,bad"));
            }
            for size in [1, 2, 3, 5, 64, 509, 4096, 4099] {
                assert_eq!(read(None, &bytes, size), whole, "{first} {second} {third} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_part_may_be_short_or_empty_and_have_no_header() {
        for (first, second) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            for (more, rows) in
                [("", 1), ("2,b", 2), ("2,b\n3,c\n", 3), ("\r\n\r\n2,b\n", 2), ("id,name\n2,b\n", 2)]
            {
                let parts =
                    [written(first, "id,name\r\n1,a\r\n"), written(second, &format!("\u{feff}{more}"))];
                for size in [1, 1000] {
                    let (kept, error) = read(None, &parts.concat(), size);
                    assert_eq!(
                        (kept.rows.len(), kept.rejects.len(), error),
                        (rows, 0, None),
                        "{first} {second} {more:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_file_of_dos_before_a_byte_order_mark_ends_the_part() {
        for (first, second) in (0..3).flat_map(|first| (0..3).map(move |second| (first, second))) {
            for end in ["\r\n\u{1a}", "\n\u{1a}\u{1a}", "\n\u{1a}\n", "\u{1a}", "\u{1a}\u{1a}"] {
                for (header, lines) in [("", 0), ("id,name\n", 1)] {
                    let part = format!("id,name\n1,x\n2,a{end}");
                    let line = 4 + lines + u64::from(end.ends_with('\n'));
                    let start = written(first, &part);
                    let bytes =
                        [start.clone(), written(second, &format!("\u{feff}{header}3,b\nx,bad\n\u{1a}"))]
                            .concat();
                    let whole = read(None, &bytes, bytes.len());
                    let context = format!("{first} {second} {end:?} {header:?}");
                    // A part that has no line end at its end is a line all the same.
                    let expected = [(2, "x"), (3, "a"), (line, "b")]
                        .map(|(line, name)| (line, name.to_owned()))
                        .to_vec();
                    assert_eq!((&whole.0.rows, &whole.1), (&expected, &None), "{context}");
                    let before = written(second, &format!("\u{feff}{header}3,b\n")).len();
                    let bad = (line + 1, (start.len() + before) as u64, "x,bad".to_owned());
                    assert_eq!(whole.0.rejects, [bad], "{context}");
                    for size in 1..30 {
                        assert_eq!(read(None, &bytes, size), whole, "{context} in pieces of {size}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_file_of_dos_may_stand_after_a_header_or_nothing() {
        for (first, second) in (0..3).flat_map(|first| (0..3).map(move |second| (first, second))) {
            for (part, next) in
                [("id,name\u{1a}", "1,a\n"), ("\u{1a}", "id,name\n1,a\n"), ("\n\u{1a}", "id,name\n1,a\n")]
            {
                let bytes = [written(first, part), written(second, &format!("\u{feff}{next}"))].concat();
                for size in [1, 2, 3, 1000] {
                    // Without a byte order mark the encoding of a part is found from its text.
                    let encoding = (!part.contains("id")).then_some(MARKS[first].0);
                    let (kept, error) = read(encoding, &bytes, size);
                    assert_eq!(
                        (kept.rows.len(), kept.rejects.len(), error),
                        (1, 0, None),
                        "{first} {second} {part:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_with_its_part() {
        for (first, second) in [(0, 1), (1, 2), (2, 0)] {
            let parts = [
                written(first, "id,name\n1,a\n2,\"b\n"),
                written(second, &format!("\u{feff}id,name\n{}", "3,c\n".repeat(40))),
            ];
            for size in [1, 1000] {
                let (kept, error) = read(None, &parts.concat(), size);
                assert_eq!((kept.rows.len(), kept.rejects.len(), error), (41, 1, None), "{first} {second}");
                assert_eq!((kept.rejects[0].0, kept.rows[1].0), (3, 5), "{first} {second}");
            }
        }
    }

    #[test]
    fn a_change_of_the_encoding_without_a_byte_order_mark_stops_the_file_and_names_the_place() {
        for (first, second) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let start = file_of(first, true, 40);
            let bytes = [start.clone(), file_of(second, false, 300)].concat();
            for size in [1, 4096, bytes.len()] {
                let (kept, error) = read(None, &bytes, size);
                assert!(kept.rows.len() == 40 && kept.rejects.len() == 1, "{first} {second}: {kept:?}");
                let Some(FileError::EncodingChanged { line, byte_offset, .. }) = error else {
                    panic!("{error:?}")
                };
                assert_eq!((line, byte_offset), (43, start.len() as u64), "{first} {second}");
            }
        }
        // The row before has no line end, or half a character is missing: it is in the line that is named.
        for (first, cut, rows) in [(1, 2, 300), (1, 3, 300), (2, 2, 300), (2, 3, 300), (1, 2, 4), (2, 2, 4)] {
            let mut bytes = file_of(first, true, 40);
            bytes.truncate(bytes.len() - cut);
            bytes.extend(file_of(0, true, rows));
            let (kept, error) = read(None, &bytes, bytes.len());
            assert!(kept.rows.len() == 39, "{first} {cut}: {kept:?}");
            assert!(matches!(error, Some(FileError::EncodingChanged { line: 42, .. })), "{error:?}");
        }
    }

    #[test]
    fn characters_that_look_like_a_byte_order_mark_are_text() {
        // ï»¿ and ÿþ in Windows-1252; 믯뚿 in UTF-16.
        for (label, text) in [("windows-1252", "ï»¿1,\u{e9}\n"), ("windows-1252", "ÿþ,a\n")] {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            let bytes = [b"id,name\n1,a\n".as_slice(), &encoding.encode(text).0, b"2,b\n"].concat();
            let (kept, error) = read(Some(encoding), &bytes, 7);
            assert_eq!((kept.rows.len(), kept.rejects.len(), error), (2, 1, None), "{text}");
        }
        let text = "name,id\na,1\n\u{bbef}\u{b6bf}한국어,2\n\u{bbef}\u{63bf}日本,3\n";
        for encoding in [1, 2] {
            let (kept, error) = read(None, &written(encoding, text), 8);
            assert_eq!((kept.rows.len(), kept.rejects.len(), error), (3, 0, None));
        }
        let hole = [b"id,name\n1,a\n".as_slice(), &[0; 500], b"\n2,b\n"].concat();
        let (kept, error) = read(None, &hole, 100);
        assert_eq!((kept.rows.len(), kept.rejects.len(), error), (2, 1, None));
    }
}
