use proptest::prelude::*;

use super::*;

const SCHEMA: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;

/// Keeps rows and rejects.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    rows: Vec<(u64, i64, String)>,
    rejects: Vec<(Reject, String)>,
}

impl RowSink for Kept {
    type Error = std::convert::Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
        let Value::Long(id) = row.values[0] else { panic!("not a number") };
        let name = String::from_utf8(row.values[1].text(row.buffer).to_vec()).unwrap();
        self.rows.push((row.line, id, name));
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error> {
        self.rejects.push((reject, raw.to_owned()));
        Ok(())
    }
}

fn reader(encoding: Option<&'static Encoding>) -> RowReader {
    let options = ReadOptions { encoding, ..ReadOptions::default() };
    RowReader::new(Arc::new(Columns::parse(SCHEMA).unwrap()), options, 10_000)
}

fn told<T>(outcome: Result<T, RowsError<std::convert::Infallible>>) -> Result<T, FileError> {
    outcome.map_err(|error| match error {
        RowsError::File(error) => error,
        RowsError::Sink(never) => match never {},
    })
}

fn push(mut reader: RowReader, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
    let mut kept = Kept::default();
    for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
        told(reader.push(piece, last, &mut kept))?;
    }
    Ok(kept)
}

/// As [`push`], but small pieces are not gathered.
fn push_at_once(mut reader: RowReader, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
    let mut kept = Kept::default();
    reader.text = Some(Text::new(TextDecoder::for_file(bytes, reader.options.encoding)?));
    let mut held = Vec::new();
    for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
        held.extend_from_slice(piece);
        let read = told(reader.read(&held, last, &mut kept))?;
        held.drain(..read);
    }
    Ok(kept)
}

fn read_as(encoding: Option<&'static Encoding>, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
    let pushed = push(reader(encoding), bytes, size);
    assert_eq!(pushed, push_at_once(reader(encoding), bytes, size));
    pushed
}

fn read(bytes: &[u8], size: usize) -> Result<Kept, FileError> {
    read_as(None, bytes, size)
}

#[test]
fn a_bad_row_is_rejected_with_its_place_and_the_rest_goes_on() {
    let kept = read(b"name,id,x\na,1,\nb,one,\n\n\"c\n\",3\nd,4,", 1000).unwrap();
    assert_eq!(kept.rows, [(2, 1, "a".to_owned()), (7, 4, "d".to_owned())]);
    let rejects: Vec<_> = kept
        .rejects
        .iter()
        .map(|(r, raw)| (r.line, r.byte_offset, r.first.column.as_str(), r.first.code, raw.as_str()))
        .collect();
    assert_eq!(
        rejects,
        [(3, 15, "id", "not_an_integer", "b,one,"), (5, 23, "", "wrong_number_of_fields", "\"c\n\",3")]
    );
}

#[test]
fn a_header_alone_is_a_file_without_rows_and_an_empty_file_is_an_error() {
    assert!(read(b"id,name", 1000).unwrap().rows.is_empty());
    assert!(matches!(read(b"", 1000), Err(FileError::Empty { .. })));
    assert!(matches!(read(b"\r\n", 1000), Err(FileError::Empty { .. })));
}

#[test]
fn an_unclosed_quote_and_half_a_unit_are_rejects() {
    let kept = read(b"id,name\n1,a\n2,\"b\n3,c\n", 5).unwrap();
    assert_eq!(kept.rows.len(), 1);
    let (reject, raw) = &kept.rejects[0];
    assert_eq!((reject.line, reject.byte_offset, reject.first.code), (3, 12, "unclosed_quote"));
    assert_eq!(raw, "2,\"b\n3,c\n");

    let mut bytes: Vec<u8> = "id,name\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.push(0x41);
    let kept = read(&bytes, 7).unwrap();
    let (reject, raw) = &kept.rejects[0];
    assert_eq!(
        (reject.line, reject.byte_offset, reject.first.code, raw.as_str()),
        (3, 24, "not_decodable", "\u{fffd}")
    );
}

#[test]
fn an_odd_last_byte_is_a_reject_in_any_pieces_and_an_empty_piece_changes_nothing() {
    let text = format!("id,name\n{}", "1,a\n".repeat(1000));
    let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.push(0x41);
    for size in [3, 999, 1000, 100_000] {
        let kept = read(&bytes, size).unwrap();
        assert_eq!(kept.rows.len(), 1000, "{size}");
        let rejects: Vec<_> =
            kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset, r.first.code)).collect();
        assert_eq!(rejects, [(1002, bytes.len() as u64 - 1, "not_decodable")], "{size}");
    }
    let mut reader = reader(None);
    let mut kept = Kept::default();
    for piece in [&bytes[..2001], &[], &bytes[2001..8000], &[], &bytes[8000..8016]] {
        reader.push(piece, false, &mut kept).unwrap();
    }
    reader.push(&[], true, &mut kept).unwrap();
    assert_eq!((kept.rows.len(), kept.rejects.len()), (1000, 0));
}

#[test]
fn one_empty_field_at_the_end_of_rows_or_header_does_not_count() {
    let row = |line, id, name: &str| (line, id, name.to_owned());
    for (text, rows, rejects) in [
        ("id,name\n1,a,\n2,b,\n", vec![row(2, 1, "a"), row(3, 2, "b")], vec![]),
        (
            "id,name\n1,a,\n2,,\n3,\n4,d\n5,e,x\n6,f,,\n",
            vec![row(2, 1, "a"), row(3, 2, ""), row(5, 4, "d")],
            vec![4, 6, 7],
        ),
        ("id,name\n1,a\n2,b,\n3,\n", vec![row(2, 1, "a"), row(4, 3, "")], vec![3]),
        ("id,name\nx,a,\n1,a,\n", vec![row(3, 1, "a")], vec![2]),
        (
            "id,name,\n1,a\n2,b,\n3,\n4,d,x\n5,e,,\n",
            vec![row(2, 1, "a"), row(3, 2, "b"), row(4, 3, "")],
            vec![5, 6],
        ),
        ("id,name,\n1,a,\n2,b\n3,\n", vec![row(2, 1, "a"), row(3, 2, "b")], vec![4]),
        ("id,name,,\n1,a,,\n2,b,x,y\n3,c\n", vec![row(2, 1, "a")], vec![3, 4]),
        ("id,name\n1,\"a\",\"\"\n", vec![row(2, 1, "a")], vec![]),
        (
            "id,name\n1,a\nid,name\n2,b,\nid,name,\n3,c\n",
            vec![row(2, 1, "a"), row(4, 2, "b"), row(6, 3, "c")],
            vec![],
        ),
    ] {
        let kept = read(text.as_bytes(), 5).unwrap();
        let lines: Vec<u64> = kept.rejects.iter().map(|(reject, _)| reject.line).collect();
        assert_eq!((kept.rows, lines), (rows, rejects), "{text:?}");
    }
}

#[test]
fn a_replay_expects_a_delimiter_at_the_end_only_if_each_part_of_the_file_had_it() {
    for (text, expected) in [
        ("id,name\n1,a,\n", true),
        ("id,name\n1,a,\nid,name\n2,b,\n", true),
        ("id,name\n1,a\nid,name\n2,b,\n", false),
        ("id,name\n1,a,\nid,name\n2,b\n", false),
        ("id,name\n1,a\n", false),
    ] {
        let mut reader = reader(None);
        told(reader.push(text.as_bytes(), true, &mut Kept::default())).unwrap();
        assert_eq!(reader.has_delimited_rows(), expected, "{text:?}");
    }
}

#[test]
fn a_separator_line_blank_rows_and_the_end_of_a_file_of_dos_keep_lines_and_offsets() {
    let text = "sep=|\r\n|\r\nid|name\r\n|\r\n1|a\r\nx|b\r\n||||\r\n2|c\u{1a}";
    for (mark, unit) in
        [("", None), ("\u{feff}", Some(u16::to_le_bytes as fn(u16) -> [u8; 2])), ("", Some(u16::to_be_bytes))]
    {
        let text = format!("{mark}{text}");
        let bytes = |text: &str| match unit {
            Some(unit) => text.encode_utf16().flat_map(unit).collect(),
            None => text.as_bytes().to_vec(),
        };
        let offset = bytes(text.split('x').next().unwrap()).len() as u64;
        for end in ["", "\r\n", "\r\n\u{1a}", "\u{1a}\u{1a}"] {
            // With a line end after it, the character is not the end of the file but a part of the name.
            let text = if end.starts_with('\r') { text.replace('\u{1a}', "") } else { text.clone() };
            let kept = read(&bytes(&format!("{text}{end}")), 3).unwrap();
            assert_eq!(kept.rows, [(5, 1, "a".to_owned()), (8, 2, "c".to_owned())], "{end:?}");
            let rejects: Vec<_> = kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset)).collect();
            assert_eq!(rejects, [(6, offset)], "{end:?}");
        }
    }
}

#[test]
fn columns_with_other_names_are_found_in_every_header_of_the_file() {
    let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
    let names = ColumnNames::parse("id:Player,name:id", &columns).unwrap();
    let options = ReadOptions { columns: names, ..ReadOptions::default() };
    let reader = RowReader::new(columns, options, 1000);
    let kept = push(reader, b"name,PLAYER,id\nx,1,a\nid,player\nb,2\n", 5).unwrap();
    assert_eq!(kept.rows, [(2, 1, "a".to_owned()), (4, 2, "b".to_owned())]);
    assert_eq!(kept.rejects, []);
}

#[test]
fn a_header_is_a_record_like_any_other() {
    for (text, line) in [
        ("\n\"a\nb\",\"id\",\"name\"\nx,1,a\n", 4),
        ("\"a\r\nb;c\";\"id\";name\r\nx;1;a\r\n", 3),
        ("id,name,\"a\"\"b\"\n1,a,x", 2),
        ("id,name,\"x;\"\"y\"\n1,a,x", 2),
    ] {
        for size in [1, 7, 1000] {
            let kept = read(text.as_bytes(), size).unwrap();
            assert_eq!(kept.rows, [(line, 1, "a".to_owned())], "{text:?} by {size}");
        }
    }
    let open = read(b"id,\"name\n1,a\n2,b\n", 5);
    assert!(matches!(open, Err(FileError::NotCsv { .. })), "a quote is not closed");
}

#[test]
fn a_header_with_too_many_columns_is_refused() {
    let columns =
        |count: usize| format!("{}id,name\n{}1,a\n", "x,".repeat(count - 2), "x,".repeat(count - 2));
    assert_eq!(read(columns(1024).as_bytes(), 1000).unwrap().rows.len(), 1);
    assert!(read(columns(1025).as_bytes(), 1000).is_err());
}

/// Processor time of reading a row of so many lines, byte by byte.
fn time_of_crumbs(lines: usize) -> std::time::Duration {
    let file = format!("id,name\n1,\"{}\"\n", "x\n".repeat(lines));
    let columns = Columns::parse(SCHEMA).unwrap();
    let mut reader = RowReader::new(Arc::new(columns), ReadOptions::default(), 1 << 20);
    let mut kept = Kept::default();
    let started = thread_time();
    for piece in file.as_bytes().chunks(1) {
        reader.push(piece, false, &mut kept).unwrap();
    }
    reader.push(&[], true, &mut kept).unwrap();
    assert_eq!(kept.rejects.len(), 1);
    thread_time() - started
}

/// Processor time of this thread: other processes do not count.
fn thread_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of this function.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    std::time::Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn the_cost_of_small_pieces_does_not_grow_with_the_square_of_the_line() {
    let time = time_of_crumbs(200_000);
    // It takes a quarter of a second without optimization. Reading the whole line again for each byte takes more than ten.
    assert!(time.as_secs() < 5, "{time:?}");
}

#[test]
fn a_line_end_across_two_pieces_is_one_line_end_even_with_an_empty_piece_between() {
    let header = "id,name\n";
    let filler = "y".repeat(GATHERED_BYTES - header.len() - 1);
    let file = format!("{header}{filler}\r\nx\n");
    // With pieces of one byte, nothing follows the bytes that are read together.
    for size in [1, GATHERED_BYTES, file.len()] {
        let kept = read(file.as_bytes(), size).unwrap();
        let rejects: Vec<_> = kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset)).collect();
        assert_eq!(rejects, [(2, 8), (3, GATHERED_BYTES as u64 + 1)], "{size}");
    }
}

proptest! {
    #[test]
    fn a_byte_offset_is_where_the_line_begins_in_any_encoding(
        lines in proptest::collection::vec("([a-zé日🎲]{1,6}|\"[a-z\\r\\n]{0,6}\")", 1..20),
        ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n"), Just("\r\n\r")], 20),
        encoding in 0..4_usize, size in 1_usize..40,
    ) {
        let encoder: fn(&str) -> Vec<u8> = [
            |text: &str| text.as_bytes().to_vec(),
            |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            |text: &str| encoding_rs::SHIFT_JIS.encode(text).0.into_owned(),
        ][encoding];
        let label = [encoding_rs::UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE, encoding_rs::SHIFT_JIS][encoding];
        // Every row lacks its id.
        let mut file = encoder("name,id\n");
        let mut starts = Vec::new();
        for (line, end) in lines.iter().zip(&ends) {
            starts.push(file.len() as u64);
            file.extend(encoder(&format!("{line},{end}")));
        }
        let kept = read_as(Some(label), &file, size).unwrap();
        let found: Vec<u64> = kept.rejects.iter().map(|(reject, _)| reject.byte_offset).collect();
        prop_assert_eq!(found, starts);
    }

    #[test]
    fn the_size_of_the_pieces_does_not_matter(
        rows in proptest::collection::vec((any::<i64>(), "[a-zé\"';]{0,12}"), 0..20), size in 1_usize..40,
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "name"]).unwrap();
        for (id, name) in &rows {
            writer.write_record([&id.to_string(), name]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let utf_16: Vec<u8> =
            String::from_utf8(bytes).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let kept = read(&utf_16, size).unwrap();
        let expected: Vec<_> = rows.iter().zip(2_u64..).map(|((id, name), line)| (line, *id, name.clone())).collect();
        prop_assert_eq!(kept.rows, expected);
    }

    #[test]
    fn any_bytes_are_rows_rejects_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let mut file = b"id,name\n".to_vec();
        file.extend(bytes);
        let _ = read(&file, 64);
    }
}
