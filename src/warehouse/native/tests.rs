use bytes::Buf;
use proptest::prelude::*;

use super::*;
use crate::domain::columns::Columns;
use crate::warehouse::row_binary::write_value;

const SCHEMA: &str = r#"{"type":"record","name":"R","key":"id","fields":[
    {"name":"id","type":"long","minimum":0},
    {"name":"tax","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":2}]},
    {"name":"note","type":["null","string"]}]}"#;

const OTHERS: [Other; 2] = [
    Other { name: "number", kind: "UInt16", width: 2, repeats: true },
    Other { name: "offset", kind: "UInt64", width: 8, repeats: false },
];

/// A column of a block: its name, its type and its values, encoded. None: the row has no value.
pub(crate) type Decoded = (String, String, Vec<Option<Vec<u8>>>);

/// Reads a block as ClickHouse does.
pub(crate) fn decode(pieces: Vec<Bytes>) -> Vec<Decoded> {
    let block = pieces.concat();
    let mut bytes = &block[..];
    if bytes.is_empty() {
        return Vec::new();
    }
    let (columns, rows) = (length(&mut bytes), length(&mut bytes));
    let decoded = (0..columns).map(|_| {
        let (name, kind) = (text(&mut bytes), text(&mut bytes));
        let values = column(&kind, rows, &mut bytes);
        (name, kind, values)
    });
    let decoded = decoded.collect();
    assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
    decoded
}

fn column(kind: &str, rows: usize, bytes: &mut &[u8]) -> Vec<Option<Vec<u8>>> {
    let within = |kind: &str, outer: &str| {
        kind.strip_prefix(outer).and_then(|kind| kind.strip_suffix(')')).map(str::to_owned)
    };
    if let Some(kind) = within(kind, "LowCardinality(") {
        assert_eq!(bytes.get_u64_le(), 1);
        let flags = bytes.get_u64_le();
        assert_eq!(flags & !3, 0x600);
        let keys = bytes.get_u64_le() as usize;
        let nullable = within(&kind, "Nullable(");
        let keys = column(nullable.as_deref().unwrap_or(&kind), keys, bytes);
        assert_eq!(bytes.get_u64_le() as usize, rows);
        return (0..rows)
            .map(|_| match (bytes.get_uint_le(1 << (flags & 3)) as usize, &nullable) {
                (0, Some(_)) => None,
                (number, _) => keys[number].clone(),
            })
            .collect();
    }
    let Some(kind) = within(kind, "Nullable(") else {
        return (0..rows).map(|_| Some(value(kind, bytes))).collect();
    };
    let (nulls, values) = bytes.split_at(rows);
    *bytes = values;
    let value = |is_null: &u8| Some(value(&kind, bytes)).filter(|_| *is_null == 0);
    nulls.iter().map(value).collect()
}

fn value(kind: &str, bytes: &mut &[u8]) -> Vec<u8> {
    let width = match kind {
        "String" => return text(bytes).into_bytes(),
        "Bool" => 1,
        "UInt16" => 2,
        "UInt32" | "Int32" => 4,
        "UUID" => 16,
        kind if kind.starts_with("Decimal(28") => 16,
        _ => 8,
    };
    let (value, rest) = bytes.split_at(width);
    *bytes = rest;
    value.to_vec()
}

fn text(bytes: &mut &[u8]) -> String {
    let length = length(bytes);
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    std::str::from_utf8(text).unwrap().to_owned()
}

fn length(bytes: &mut &[u8]) -> usize {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = bytes.get_u8();
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return length;
        }
        shift += 7;
    }
}

/// Builds a block of an amount and a text for each row, from values or from RowBinary.
fn block(rows: &[(Option<i128>, Option<String>)], is_copied: bool) -> Block {
    let columns = Columns::parse(SCHEMA).unwrap();
    let mut block = Block::new(columns.iter(), &OTHERS);
    for (number, (tax, note)) in (0_u64..).zip(rows) {
        let buffer = note.clone().unwrap_or_default();
        let tax = tax.map_or(Value::Null, Value::Decimal);
        let note = note.as_ref().map_or(Value::Null, |note| Value::Text { start: 0, end: note.len() });
        for (at, (column, value)) in columns.iter().zip([Value::Long(number as i64), tax, note]).enumerate() {
            if is_copied {
                let mut bytes = Vec::new();
                write_value(column, value, buffer.as_bytes(), &mut bytes);
                block.push_row_binary(at, column, &bytes);
            } else {
                block.push(at, column, value, buffer.as_bytes());
            }
        }
        block.push_bytes(3, &((number % 3) as u16).to_le_bytes());
        block.push_bytes(4, &number.to_le_bytes());
        block.end_row();
    }
    block
}

/// Checks that a block has these rows, and returns the types of the amount and the text.
fn check(rows: &[(Option<i128>, Option<String>)]) -> [String; 2] {
    let columns = decode(block(rows, false).into_pieces());
    assert_eq!(columns, decode(block(rows, true).into_pieces()));
    let extended = |bytes: Vec<u8>| match <[u8; 8]>::try_from(&bytes[..]) {
        Ok(narrow) => i128::from(i64::from_le_bytes(narrow)),
        Err(_) => i128::from_le_bytes(bytes.try_into().unwrap()),
    };
    for (number, (tax, note)) in rows.iter().enumerate() {
        let at = |column: usize| columns[column].2[number].clone();
        assert_eq!(at(0), Some((number as u64).to_le_bytes().to_vec()));
        assert_eq!(at(1).map(extended), *tax);
        assert_eq!(at(2), note.clone().map(String::into_bytes), "row {number}");
        assert_eq!(at(3), Some(((number % 3) as u16).to_le_bytes().to_vec()));
        assert_eq!(at(4), Some((number as u64).to_le_bytes().to_vec()));
    }
    assert!(columns.iter().all(|(_, _, values)| values.len() == rows.len()));
    [1, 2].map(|column| columns[column].1.clone())
}

#[test]
fn a_block_has_the_bytes_of_the_documented_format() {
    let block = block(&[(Some(-1), Some("ab".to_owned())), (None, None)], false);
    assert_eq!(block.rows(), 2);
    let mut expected = vec![5, 2];
    expected.extend(b"\x02id\x06UInt64\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
    expected
        .extend(b"\x03tax\x18Nullable(Decimal(18, 2))\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0");
    // Version 1, keys of this block with numbers of one byte, two keys, two rows.
    let numbers = |keys: &[u8]| {
        [&[1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, keys[0], 0, 0, 0, 0, 0, 0, 0], &keys[1..]].concat()
    };
    expected.extend(b"\x04note\x20LowCardinality(Nullable(String))");
    expected.extend(numbers(b"\x02\0\x02ab\x02\0\0\0\0\0\0\0\x01\0"));
    expected.extend(b"\x06number\x16LowCardinality(UInt16)");
    expected.extend(numbers(b"\x03\0\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x01\x02"));
    expected.extend(b"\x06offset\x06UInt64\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
    assert_eq!(block.into_pieces().concat(), expected);
}

#[test]
fn each_column_has_the_smallest_type_that_has_its_values() {
    let rows = |count: i64, tax: fn(i64) -> i128, different: i64| -> Vec<_> {
        let row = |number: i64| (Some(tax(number)), Some(format!("note {}", number % different)));
        (0..count).map(row).collect()
    };
    // Numbers of one, two and four bytes; the last one has more than one piece of each column.
    assert_eq!(check(&rows(5000, i128::from, 200)), ["Decimal(18, 2)", "LowCardinality(String)"]);
    assert_eq!(check(&rows(5000, |_| i64::MIN.into(), 300)), ["Decimal(18, 2)", "LowCardinality(String)"]);
    let mut many = rows(80_000, |number| -i128::from(number), 100);
    many.extend(rows(70_000, i128::from, 70_000));
    assert_eq!(check(&many), ["Decimal(18, 2)", "LowCardinality(String)"]);
    // Different texts in the first rows, and one amount that needs sixteen bytes.
    assert_eq!(check(&rows(5000, |number| -(1 << (number / 50)), 5000)), ["Decimal(28, 2)", "String"]);
    let mut missing = rows(5000, i128::from, 5000);
    missing[3000] = (None, None);
    assert_eq!(check(&missing), ["Nullable(Decimal(18, 2))", "Nullable(String)"]);
    missing[4999] = (Some(i128::from(i64::MAX) + 1), Some(String::new()));
    assert_eq!(check(&missing), ["Nullable(Decimal(28, 2))", "Nullable(String)"]);
}

#[test]
fn the_size_of_a_block_is_that_of_its_values() {
    let rows: Vec<_> = (0..300_i128).map(|number| (Some(number), Some(number.to_string()))).collect();
    let block = block(&rows, false);
    let (bytes, pieces) = (block.bytes(), block.into_pieces().concat().len());
    assert!(bytes <= pieces && pieces < bytes + 300, "{bytes} of {pieces}");
}

proptest! {
    #[test]
    fn a_block_has_the_rows_that_were_pushed(
        rows in prop::collection::vec((prop::option::of(any::<i128>()), any::<u8>(), prop::option::of("[a-c]{0,2}")), 0..60),
    ) {
        // Amounts of all widths.
        let row = |(tax, shift, note): (Option<i128>, u8, Option<String>)| (tax.map(|tax| tax >> (shift % 128)), note);
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        if !rows.is_empty() {
            check(&rows);
        }
    }
}
