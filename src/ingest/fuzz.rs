//! Hostile files, by the thousand: `PROPTEST_CASES=100000 cargo test --release --locked --lib ingest::fuzz`.
//!
//! cargo-fuzz needs a nightly compiler. proptest finds as much here, since the files are made of pieces that mean something to
//! the reader.

use std::ops::Range;
use std::sync::Arc;

use encoding_rs::Encoding;
use proptest::prelude::*;

use super::FileError;
use super::decode::{MARKS, TextDecoder, Unit};
use super::parts::is_in;
use super::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};
use crate::domain::columns::Columns;
use crate::domain::value::Value;

const HEADER: &str = "created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,bonus_amount_bet,\
     real_amount_win,bonus_amount_win,game_name,provider";

/// Bytes of a line, for these tests.
const LINE_LIMIT: usize = 2000;

/// Bytes that the buffers may hold, as a multiple of the bytes of a line and of a piece: text of a line and of a piece, three times as long
/// if U+FFFD replaces each byte; once as it arrived and once unescaped; and twice that, as vectors grow.
const MEMORY_FACTOR: usize = 12;

/// Bytes that do not depend on them: bounds of 1,024 fields, and gathered pieces.
const MEMORY_BASE: usize = 64 << 10;

/// The rows and rejects of a file.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    rows: Vec<(u64, Vec<Value>, Vec<Vec<u8>>)>,
    rejects: Vec<(Reject, String)>,
}

impl RowSink for Kept {
    type Error = std::convert::Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
        let texts = row.values.iter().map(|value| value.text(row.buffer).to_vec()).collect();
        let values = row.values.iter().map(|value| match value {
            // Its place in the buffer does not matter.
            Value::Text { .. } => Value::Null,
            value => *value,
        });
        self.rows.push((row.line, values.collect(), texts));
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error> {
        self.rejects.push((reject, raw.to_owned()));
        Ok(())
    }
}

fn read(
    encoding: Option<&'static Encoding>,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Kept, Option<FileError>) {
    let columns = Columns::parse(include_str!("../../schemas/bets.avsc")).unwrap();
    let options = ReadOptions { encoding, ..ReadOptions::default() };
    let mut reader = RowReader::new(Arc::new(columns), options, LINE_LIMIT);
    let mut kept = Kept::default();
    let mut push = |bytes: &[u8], last| {
        let pushed = reader.push(bytes, last, &mut kept);
        let bound = MEMORY_BASE + MEMORY_FACTOR * (LINE_LIMIT + bytes.len());
        let found = reader.capacity();
        pushed.map(|()| (found, bound))
    };
    let mut largest = 0;
    for piece in pieces {
        match push(piece.as_ref(), false) {
            Ok((found, bound)) => {
                largest = largest.max(bound);
                assert!(found <= largest, "{found} bytes are kept, of {largest}");
            }
            Err(RowsError::File(error)) => return (kept, Some(error)),
            Err(RowsError::Sink(never)) => match never {},
        }
    }
    match push(&[], true) {
        Ok(_) => (kept, None),
        Err(RowsError::File(error)) => (kept, Some(error)),
        Err(RowsError::Sink(never)) => match never {},
    }
}

fn in_sizes<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(sizes.next().copied().unwrap_or(1).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Text that means something to the reader, and some that does not.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just("2020-02-03 04:05:06,1,player,7,0.25,0,0.1,NULL,Café,Play'n GO\n".to_owned()),
        1 => Just("2020-02-03 04:05:06,2,player,7,1.250,0,0.1,NULL,Café,Play'n GO\n".to_owned()),
        1 => prop_oneof![
            Just(format!("{HEADER}\n")),
            Just(format!("{}\n", HEADER.replace("real_amount_bet", "x").replace("real_amount_win", "real_amount_bet").replace(",x,", ",real_amount_win,"))),
        ],
        2 => Just("2020-02-03 04:05:06,3,player,7,0.25,0,0.1,NULL,Café,,\n".to_owned()),
        1 => Just("Time,Round,Player,Game,Bet,Bonus,Win,Bonus win,Name,Vendor\n".to_owned()),
        2 => Just("\"2020-02-03T04:05:06.5Z\",\"1\",\"pl\"\"ayer\",7,1e-8,-1,+2,NaN,\"a,b\nc\",x\r\n".to_owned()),
        3 => prop_oneof![Just(","), Just(";"), Just("\t"), Just("\""), Just("\"\""), Just(",\"")].prop_map(str::to_owned),
        3 => prop_oneof![Just("\r"), Just("\n"), Just("\r\n"), Just("\n\r"), Just("\r\r\n")].prop_map(str::to_owned),
        1 => prop_oneof![Just("\0"), Just("\u{feff}"), Just("\u{fffd}"), Just("\u{1a}"), Just("\u{1a}\n"), Just("\u{1a}\u{feff}"), Just("sep=,\n"), Just(",,,\n"), Just("\u{85}"), Just("\u{2028}")]
            .prop_map(str::to_owned),
        1 => prop_oneof![Just("-"), Just("1e99999"), Just("0.000000001"), Just("99999999999999999999"), Just("2023-02-29 00:00:00")]
            .prop_map(str::to_owned),
        1 => ".{0,12}",
        1 => (1_usize..600).prop_map(|length| "long".repeat(length)),
        1 => (1_usize..1500).prop_map(|length| ",".repeat(length)),
    ]
}

/// How a file may be written.
#[derive(Clone, Copy, Debug)]
enum Written {
    Utf8,
    Utf16(fn(u16) -> [u8; 2]),
}

impl Written {
    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16(unit) => text.encode_utf16().flat_map(unit).collect(),
        }
    }

    fn mark(self) -> Vec<u8> {
        self.bytes("\u{feff}")
    }
}

fn written() -> impl Strategy<Value = Written> {
    prop_oneof![
        Just(Written::Utf8),
        Just(Written::Utf16(u16::to_le_bytes)),
        Just(Written::Utf16(u16::to_be_bytes))
    ]
}

/// A file with a header, hostile text, and bytes that were changed, put in or taken out.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (written(), any::<bool>(), prop::collection::vec(token(), 0..60), prop::collection::vec(change, 0..4))
        .prop_map(|(written, marked, tokens, changes)| {
            let mut bytes = if marked { written.mark() } else { Vec::new() };
            bytes.extend(written.bytes(&format!("{HEADER}\n{}", tokens.concat())));
            for (place, byte, kind) in changes {
                let at = place.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        })
}

/// Files that were joined, each with a byte order mark.
fn joined() -> impl Strategy<Value = Vec<(Unit, Vec<u8>)>> {
    let part = (written(), prop::collection::vec(token(), 0..20)).prop_map(|(written, tokens)| {
        let unit = match written {
            Written::Utf8 => Unit::Byte,
            Written::Utf16(_) if written.mark() == b"\xff\xfe" => Unit::LittleEndian,
            Written::Utf16(_) => Unit::BigEndian,
        };
        (unit, [written.mark(), written.bytes(&format!("{HEADER}\n{}\n", tokens.concat()))].concat())
    });
    prop::collection::vec(part, 1..5)
}

/// Where each line of a file, or of one part of it, begins: line 1 first. Counted unit by unit.
fn line_starts(file: &[u8], part: Range<usize>, unit: Unit) -> Vec<u64> {
    let mut starts = vec![part.start as u64];
    let mut before = None;
    // Without regard to characters U+001A.
    let mut is_line_start = true;
    let mut at = part.start;
    while at < part.end {
        let character = unit.ascii_at(&file[..part.end], at);
        let begins_file = MARKS.iter().any(|(encoding, mark)| {
            file[at..part.end].starts_with(mark) && is_in(encoding, &file[at + mark.len()..])
        });
        if begins_file && before == Some(b'\x1a') {
            if !is_line_start {
                starts.push(at as u64);
            }
            is_line_start = true;
        }
        at += unit.width();
        match character {
            Some(b'\n') if before == Some(b'\r') => *starts.last_mut().unwrap() = at as u64,
            Some(b'\r' | b'\n') => starts.push(at as u64),
            _ => {}
        }
        match character {
            Some(b'\x1a') => {}
            Some(b'\r' | b'\n') => is_line_start = true,
            _ => is_line_start = false,
        }
        before = character;
    }
    starts
}

proptest! {
    #[test]
    fn a_file_is_the_same_in_any_pieces_and_its_rejects_know_their_place(
        bytes in file(), sizes in prop::collection::vec(prop_oneof![1_usize..9, 100_usize..9000], 1..9),
    ) {
        let whole = read(None, [&bytes]);
        prop_assert_eq!(&read(None, in_sizes(&bytes, &sizes)), &whole);
        if let Ok(decoder) = TextDecoder::for_file(&bytes, None) {
            let starts = line_starts(&bytes, 0..bytes.len(), decoder.unit());
            for (reject, _) in &whole.0.rejects {
                prop_assert_eq!(starts.get(reject.line as usize - 1), Some(&reject.byte_offset), "{:?}", reject);
            }
        }
        let lines: Vec<u64> = whole.0.rows.iter().map(|(line, ..)| *line).collect();
        // Rows with an amount such as 1.250 come after the others.
        let once: std::collections::BTreeSet<u64> = lines.iter().copied().collect();
        prop_assert_eq!(once.len(), lines.len(), "{:?}", lines);
        let falls = lines.windows(2).filter(|pair| pair[0] > pair[1]).count();
        prop_assert!(falls <= 1, "{:?}", lines);
    }

    #[test]
    fn joined_files_in_several_encodings_are_the_same_in_any_pieces_and_their_rejects_know_their_place(
        parts in joined(), sizes in prop::collection::vec(prop_oneof![1_usize..9, 100_usize..9000], 1..9),
    ) {
        let bytes: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        let whole = read(None, [&bytes]);
        prop_assert_eq!(&read(None, in_sizes(&bytes, &sizes)), &whole);
        let mut starts = vec![0];
        let mut start = 0;
        for (unit, part) in &parts {
            starts.extend(line_starts(&bytes, start..start + part.len(), *unit).into_iter().skip(1));
            start += part.len();
        }
        for (reject, _) in &whole.0.rejects {
            prop_assert_eq!(starts.get(reject.line as usize - 1), Some(&reject.byte_offset), "{:?}", reject);
        }
    }

    #[test]
    fn noise_is_the_same_in_any_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..9000), after_header: bool,
        label in prop::sample::select(vec![None, Some("windows-1252"), Some("shift_jis"), Some("gb18030"), Some("iso-2022-jp"), Some("euc-kr"), Some("big5"), Some("utf-16be"), Some("x-user-defined")]),
        sizes in prop::collection::vec(1_usize..9000, 1..9),
    ) {
        let mut file = if after_header { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
        file.extend(bytes);
        let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
        let (mut whole, mut pieces) = (read(encoding, [&file]), read(encoding, in_sizes(&file, &sizes)));
        if label == Some("iso-2022-jp") {
            // It may swallow line ends, and those that are left are counted from either side.
            for (reject, _) in whole.0.rejects.iter_mut().chain(&mut pieces.0.rejects) {
                reject.byte_offset = 0;
            }
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn a_piece_ends_anywhere_for_the_decoder(
        bytes in prop::collection::vec(prop_oneof![2 => any::<u8>(), 1 => 0x20_u8..0x7f, 1 => Just(0x1b)], 0..400),
        label in prop::sample::select(vec!["utf-8", "windows-1252", "shift_jis", "gb18030", "iso-2022-jp", "euc-kr", "big5", "koi8-r", "euc-jp", "gbk"]),
        size in 1_usize..40,
    ) {
        let encoding = Encoding::for_label(label.as_bytes()).unwrap();
        prop_assume!(Encoding::for_bom(&bytes).is_none());
        let Ok(mut decoder) = TextDecoder::for_file(&bytes, Some(encoding)) else { return Ok(()) };
        let mut text = Vec::new();
        bytes.chunks(size).for_each(|piece| decoder.decode(piece, false, &mut text));
        decoder.decode(&[], true, &mut text);
        let (expected, _) = encoding.decode_without_bom_handling(&bytes);
        prop_assert_eq!(String::from_utf8(text).unwrap(), expected.trim_end_matches('\u{1a}'));
    }
}
