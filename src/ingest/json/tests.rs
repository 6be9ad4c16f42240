use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;

use super::framing::RowTexts;
use crate::domain::columns::Columns;
use crate::domain::value::Value;
use crate::ingest::FileError;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::format::FileFormat;
use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"id","type":"long","minimum":0,"aliases":["ID"]},
    {"name":"name","type":["null","string"],"pattern":"[^!]*"},
    {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":10}],"path":"/data/price"},
    {"name":"line","type":["null","long"],"source":"line"}]}"#;

/// Rows and rejects, as text: `line id name price`, `line pointer code`.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    rows: Vec<String>,
    rejects: Vec<String>,
    raw: Vec<String>,
    byte_offsets: Vec<u64>,
}

fn shown(value: Value, buffer: &[u8]) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Text { .. } => String::from_utf8(value.text(buffer).to_vec()).unwrap(),
        Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number) => number.to_string(),
        Value::Decimal(unscaled) => crate::domain::money::format(unscaled, 10),
        Value::Enum(at) => at.to_string(),
        other => format!("{other:?}"),
    }
}

impl RowSink for Kept {
    type Error = Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Infallible> {
        let values: Vec<String> = row.values.iter().map(|value| shown(*value, row.buffer)).collect();
        self.rows.push(format!("{} {}", row.line, values.join(" ")));
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Infallible> {
        for fault in &reject.faults {
            self.rejects.push(format!(
                "{} {} {}",
                reject.line,
                fault.pointer.as_deref().unwrap_or("none"),
                fault.code
            ));
        }
        self.raw.push(raw.to_owned());
        self.byte_offsets.push(reject.byte_offset);
        Ok(())
    }
}

fn read_with(schema: &str, options: ReadOptions, text: &[u8], size: usize) -> Result<Kept, FileError> {
    let mut reader = RowReader::new(Arc::new(Columns::parse(schema).unwrap()), options, 100_000);
    let mut kept = Kept::default();
    for (piece, last) in text.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
        reader.push(piece, last, &mut kept).map_err(|error| match error {
            RowsError::File(error) => error,
            RowsError::Sink(never) => match never {},
        })?;
    }
    Ok(kept)
}

fn read(format: FileFormat, text: &str) -> Result<Kept, FileError> {
    let options = ReadOptions { format, ..ReadOptions::default() };
    let whole = read_with(SCHEMA, options.clone(), text.as_bytes(), 1_000_000);
    for size in [1, 7] {
        assert_eq!(read_with(SCHEMA, options.clone(), text.as_bytes(), size), whole, "{text:?} by {size}");
    }
    whole
}

fn kept(text: &str) -> Kept {
    read(FileFormat::Any, text).unwrap()
}

#[test]
fn lines_arrays_and_objects_of_several_lines_are_the_same_rows() {
    let rows = ["1 1 a 1.5 1", "2 2 none none 2"];
    let (one, two) = (r#"{"id":1,"name":"a","data":{"price":1.5}}"#, r#"{"ID":2}"#);
    for text in [
        format!("{one}\n{two}\n"),
        format!("{one}\r\n{two}"),
        format!("{one}\n{two}\n\n"),
        format!("\u{feff}{one}\n{two}"),
        format!("[{one},\n{two}]"),
        format!(" [ {one} , {two} ] \n"),
        format!("[{one}]\n[{two}]"),
    ] {
        let found = kept(&text);
        assert_eq!((found.rows, found.rejects), (rows.map(str::to_owned).to_vec(), Vec::new()), "{text:?}");
    }
    let pretty = "{\n  \"id\": 1,\n  \"name\": \"}{\\\"\"\n}\n{\n  \"id\": 2\n}";
    assert_eq!(kept(pretty).rows, ["1 1 }{\" none 1", "5 2 none none 5"]);
    let pretty = "\n[\n  {\n    \"id\": 1\n  },\n  {\n    \"id\": 2\n  }\n]\n";
    assert_eq!(kept(pretty).rows, ["3 1 none none 3", "6 2 none none 6"]);
    assert_eq!(kept("[]"), Kept::default());
    assert_eq!(kept("[ ]\n"), Kept::default());
    assert_eq!(read(FileFormat::NdJson, "").unwrap(), Kept::default());
}

#[test]
fn a_number_is_read_from_its_text_and_stays_exact() {
    let of = |price: &str| kept(&format!(r#"{{"id":9223372036854775807,"data":{{"price":{price}}}}}"#));
    for (price, expected) in [
        ("0.1", "0.1"),
        ("1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
        ("8.02e6", "8020000"),
        ("-1E-10", "-0.0000000001"),
        ("\"65012.31\"", "65012.31"),
        ("null", "none"),
    ] {
        assert_eq!(of(price).rows, [format!("1 9223372036854775807 none {expected} 1")], "{price}");
    }
    for (price, code) in [
        ("0.00000000001", "too_many_digits"),
        ("1e30", "decimal_out_of_range"),
        ("\"1,5\"", "not_a_decimal"),
        ("true", "wrong_type"),
        ("[1]", "wrong_type"),
        ("{\"amount\":1}", "wrong_type"),
    ] {
        assert_eq!(of(price).rejects, [format!("1 /data/price {code}")], "{price}");
    }
}

#[test]
fn every_fault_has_its_line_its_pointer_and_its_code() {
    let good = r#"{"id":7}"#;
    for (row, expected) in [
        (r#"{"id":"x","name":5}"#, vec!["/id not_an_integer", "/name wrong_type"]),
        (r#"{"name":"a!"}"#, vec!["/id missing_value", "/name pattern_mismatch"]),
        (r#"{"id":1,"id":1}"#, vec!["/id duplicate_member"]),
        (r#"{"id":1,"ID":1}"#, vec!["/id duplicate_member"]),
        (r#"{"id":1,"data":{"price":1},"data":{}}"#, vec!["/data duplicate_member"]),
        (r#"{"id":1,"data":{"price":1,"price":2}}"#, vec!["/data/price duplicate_member"]),
        (r#"{"id":1,"data":5}"#, vec!["/data wrong_type"]),
        (r#"{"id":1.0}"#, vec!["/id not_an_integer"]),
        (r#"{"id":-1}"#, vec!["/id integer_out_of_range"]),
        (r#"{"id":1,"name":"a\u0000"}"#, vec!["/name control_character"]),
        (r#"{"id":1,"name":"\ud83d"}"#, vec!["/name not_decodable"]),
        (r#"{"id":1"#, vec![" invalid_json"]),
        (r#"{"id":1}}"#, vec![" invalid_json"]),
        (r#"{"id":1} {"id":2}"#, vec![" invalid_json"]),
        (r#"{"id":1,}"#, vec![" invalid_json"]),
        (r#"{id:1}"#, vec![" invalid_json"]),
        (r#"{"id":1,"x":[1}]}"#, vec![" invalid_json"]),
        (r#"{"id":1,"x":{"y":nul}}"#, vec![" invalid_json"]),
        (r#"{"id":1,"x":NaN}"#, vec![" invalid_json"]),
        (r#"{"id":01}"#, vec![" invalid_json"]),
        ("null", vec![" wrong_type"]),
        ("17", vec![" wrong_type"]),
        (r#"["id"]"#, vec![" wrong_type"]),
        ("oops", vec![" invalid_json"]),
    ] {
        let found = kept(&format!("{good}\n{row}\n{good}\n"));
        let expected: Vec<String> = expected.iter().map(|fault| format!("2 {fault}")).collect();
        assert_eq!(found.rejects, expected, "{row}");
        assert_eq!(found.rows, ["1 7 none none 1", "3 7 none none 3"], "{row}");
        assert_eq!((found.raw, found.byte_offsets), (vec![row.to_owned()], vec![9]), "{row}");
    }
}

#[test]
fn an_invalid_element_of_an_array_does_not_stop_the_others() {
    let found = kept("[\n{\"id\":1},\n{\"id\":x},\n  7,\n{\"id\":2} {\"id\":3},\n,{\"id\":4},]");
    assert_eq!(found.rows, ["2 1 none none 2", "7 4 none none 7"]);
    // The empty element stands on line 6, before the valid one, which therefore has the next number.
    let expected =
        ["3  invalid_json", "4  wrong_type", "5  invalid_json", "6  invalid_json", "8  invalid_json"];
    assert_eq!(found.rejects, expected);
    assert_eq!(found.raw[..3], ["{\"id\":x}", "7", "{\"id\":2} {\"id\":3}"]);
    assert_eq!(found.byte_offsets[..2], [12, 22]);
}

#[test]
fn rows_on_one_line_have_numbers_of_their_own() {
    let found = kept(r#"[{"id":1},{"id":2},{"id":"x"},{"id":4}]"#);
    assert_eq!((found.rows.len(), found.rejects), (3, vec!["3 /id not_an_integer".to_owned()]));
    assert_eq!(found.rows[2], "4 4 none none 4");
}

#[test]
fn an_array_that_is_cut_off_is_reported() {
    for (text, rows) in
        [("[{\"id\":1},", 1), ("[{\"id\":1}, {\"id\":2}", 1), ("[{\"id\":1},{\"id\":", 1), ("[", 0)]
    {
        let found = kept(text);
        assert_eq!((found.rows.len(), found.rejects.len()), (rows, 1), "{text}");
        assert!(found.rejects[0].ends_with(" invalid_json"), "{found:?}");
    }
}

#[test]
fn a_broken_first_line_does_not_make_one_row_of_the_file() {
    let found = kept("{\"id\":1,\n{\"id\":2}\n{\"id\":3}\n");
    assert_eq!((found.rows.len(), found.rejects), (2, vec!["1  invalid_json".to_owned()]));
}

#[test]
fn what_is_no_json_is_refused_and_csv_is_still_read() {
    for format in [FileFormat::Json, FileFormat::NdJson] {
        let refused = read(format, "id,name\n1,a\n").unwrap_err();
        assert_eq!(
            (refused.code(), &refused),
            ("not_json", &FileError::NotJson { line: "id,name".to_owned() })
        );
    }
    let csv = read_with(
        r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#,
        ReadOptions { format: FileFormat::Any, ..ReadOptions::default() },
        b"\n id \n5\n",
        1,
    );
    assert_eq!(csv.unwrap().rows, ["3 5"]);
    assert!(matches!(read(FileFormat::Any, "\n"), Err(FileError::Empty { .. })));
    assert!(matches!(read(FileFormat::Csv, "{\"id\":1}\n"), Err(FileError::NotCsv { .. })));
}

#[test]
fn a_row_that_is_too_long_stops_the_file_and_depth_does_not_matter() {
    let deep = format!("{{\"id\":1,\"x\":{}{}}}", "[".repeat(40_000), "]".repeat(40_000));
    assert_eq!(kept(&deep).rows, ["1 1 none none 1"]);
    for text in [
        format!("{{\"id\":1,\"x\":\"{}\"}}\n", "x".repeat(100_000)),
        format!("[{{\"x\":\"{}", "[".repeat(200_000)),
    ] {
        let options = ReadOptions { format: FileFormat::Any, ..ReadOptions::default() };
        let refused = read_with(SCHEMA, options, text.as_bytes(), 4096).unwrap_err();
        assert_eq!(refused.code(), "line_too_long", "{refused}");
    }
}

#[test]
fn other_types_have_the_values_of_json_that_mean_the_same() {
    let schema = |kind: &str| {
        format!(
            r#"{{"type":"record","name":"R","unknown_members":"reject","fields":[{{"name":"a","type":{kind}}}]}}"#
        )
    };
    let read = |kind: &str, value: &str| {
        let options = ReadOptions { format: FileFormat::Json, ..ReadOptions::default() };
        let kept = read_with(&schema(kind), options, format!("{{\"a\":{value}}}").as_bytes(), 9).unwrap();
        kept.rows.into_iter().chain(kept.rejects).next().unwrap()
    };
    let millis = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    let micros = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
    let symbols = r#"{"type":"enum","name":"E","symbols":["BUY","SELL"]}"#;
    for (kind, value, expected) in [
        (millis, "1732800000000", "1 1732800000000"),
        (millis, "\"2024-11-28T13:20:00Z\"", "1 1732800000000"),
        (millis, "1732800000.5", "1 /a not_a_timestamp"),
        (millis, "1.7328e12", "1 1732800000000"),
        (millis, "-1", "1 /a timestamp_out_of_range"),
        (millis, "99999999999999999999", "1 /a timestamp_out_of_range"),
        (millis, "\"1732800000000\"", "1 /a not_a_timestamp"),
        (micros, "1732800000000001", "1 1732800000000001"),
        (r#""boolean""#, "true", "1 Boolean(true)"),
        (r#""boolean""#, "\"false\"", "1 Boolean(false)"),
        (r#""boolean""#, "1", "1 /a wrong_type"),
        (r#""double""#, "1e-7", "1 Double(1e-7)"),
        (r#""double""#, "1e999", "1 /a decimal_out_of_range"),
        (r#""int""#, "-5", "1 Int(-5)"),
        (r#""string""#, "\"caf\\u00e9 \\ud83c\\udfb2\"", "1 café 🎲"),
        (r#""string""#, "true", "1 /a wrong_type"),
        (symbols, "\"SELL\"", "1 1"),
        (symbols, "\"sell\"", "1 /a unknown_symbol"),
        (r#"{"type":"int","logicalType":"date"}"#, "\"1970-01-02\"", "1 Date(1)"),
        (r#"{"type":"int","logicalType":"date"}"#, "1", "1 /a wrong_type"),
        (r#"["null","long"]"#, "null", "1 none"),
        (r#""long""#, "null", "1 /a missing_value"),
        (r#""long""#, "1,\"b/c\":2", "1 /b~1c unknown_member"),
    ] {
        assert_eq!(read(kind, value), expected, "{kind} {value}");
    }
}

#[test]
fn the_sender_may_call_a_column_by_another_name() {
    let columns = Columns::parse(SCHEMA).unwrap();
    let names = ColumnNames::parse("id:Player Id,price:cost", &columns).unwrap();
    let options = ReadOptions { format: FileFormat::Any, columns: names, ..ReadOptions::default() };
    let kept =
        read_with(SCHEMA, options, br#"{"Player Id":1,"id":2,"cost":"3","data":{"price":4}}"#, 99).unwrap();
    assert_eq!((kept.rows, kept.rejects), (vec!["1 1 none 3 1".to_owned()], vec![]));
}

/// The texts of rows, as they are found in pieces of this size.
fn texts(text: &str, size: usize) -> Vec<(u64, u64, String, bool)> {
    let mut texts = RowTexts::new(FileFormat::Json, 10_000);
    let mut found = Vec::new();
    for (piece, last) in text.as_bytes().chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
        texts.buffer().extend_from_slice(piece);
        while let Ok(Some(row)) = texts.next(last) {
            let raw = String::from_utf8_lossy(row.raw).into_owned();
            found.push((row.number, row.line, raw, row.is_cut_off));
        }
    }
    found
}

proptest! {
    #[test]
    fn the_texts_of_rows_are_the_same_in_pieces_of_any_size(
        text in "[{\\[](\\{\"id\":[0-9]\\},?|[\\[\\],{}\"\\\\ \n\ré]){0,30}", size in 1_usize..9,
    ) {
        prop_assert_eq!(texts(&text, size), texts(&text, 10_000));
    }

    #[test]
    fn serde_json_finds_the_same_objects(
        rows in proptest::collection::vec((0_i64..i64::MAX, proptest::option::of("[^!\\p{Cc}\u{fffd}]{0,12}"), any::<bool>()), 0..8),
        size in 1_usize..60, shape in 0..4,
    ) {
        let objects = rows.iter().map(|(id, name, is_first)| {
            let extra = serde_json::json!({"name": [{"id": "}]\"{["}], "ü": null});
            match is_first {
                true => serde_json::json!({"extra": extra, "id": id, "name": name}),
                false => serde_json::json!({"id": id, "name": name, "zz": extra}),
            }
        }).collect::<Vec<_>>();
        let text = match shape {
            0 => objects.iter().map(|object| format!("{object}\n")).collect::<String>(),
            1 => objects.iter().map(|object| format!("{object:#}\n")).collect::<String>(),
            2 => serde_json::Value::Array(objects).to_string(),
            _ => format!("{:#}", serde_json::Value::Array(objects)),
        };
        let options = ReadOptions { format: FileFormat::Json, ..ReadOptions::default() };
        let kept = read_with(SCHEMA, options, text.as_bytes(), size).unwrap();
        prop_assert_eq!(&kept.rejects, &Vec::<String>::new());
        let found: Vec<String> = kept.rows.iter().map(|row| row.split_once(' ').unwrap().1.rsplit_once(' ').unwrap().0.to_owned()).collect();
        let expected: Vec<String> =
            rows.iter().map(|(id, name, _)| format!("{id} {} none", name.as_deref().unwrap_or("none"))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_text_is_rows_rejects_or_an_error_in_pieces_of_any_size(
        text in "[\\[\\]{}\",:\\\\ \n\r]{0,40}|(\\{\"id\":[0-9]\\}|[\\[\\],{}\"\n]){0,20}", size in 1_usize..9,
    ) {
        let options = ReadOptions { format: FileFormat::Any, ..ReadOptions::default() };
        let whole = read_with(SCHEMA, options.clone(), text.as_bytes(), 1000);
        prop_assert_eq!(read_with(SCHEMA, options, text.as_bytes(), size), whole);
    }
}
