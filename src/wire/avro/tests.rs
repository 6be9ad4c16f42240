use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Datum;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"id","type":"long"},
    {"name":"name","type":"string"},
    {"name":"bet","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":8}]},
    {"name":"win","type":[{"type":"bytes","logicalType":"decimal","precision":28,"scale":8},"null"]},
    {"name":"upload","type":["null",{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}],"source":"upload_id"}]}"#;

fn money() -> impl Strategy<Value = Option<i128>> {
    proptest::option::of(prop_oneof![-300_i128..300, -(10_i128.pow(28))..10_i128.pow(28)])
}

fn plain(datum: &Datum) -> Option<i128> {
    match datum {
        Datum::Union(_, inner) => plain(inner),
        Datum::Null => None,
        Datum::Decimal(decimal) => {
            let bytes: Vec<u8> = decimal.try_into().unwrap();
            let start = if bytes[0] & 0x80 == 0 { 0 } else { -1_i128 };
            Some(bytes.iter().fold(start, |number, byte| (number << 8) | i128::from(*byte)))
        }
        other => panic!("{other:?}"),
    }
}

/// Fields of every other type, required and in both unions.
const OTHERS: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"is_maker","type":"boolean"},
    {"name":"was_maker","type":["null","boolean"]},
    {"name":"small","type":["int","null"]},
    {"name":"share","type":["null","double"]},
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
    {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"side","type":[{"type":"enum","name":"Side","symbols":["BUY","SELL","NONE"]},"null"]},
    {"name":"value","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":0}},
    {"name":"order","type":["null",{"type":"string","logicalType":"uuid"}]},
    {"name":"trade","type":{"type":"fixed","name":"T","size":16,"logicalType":"uuid"}}]}"#;

fn or_null<T>(value: Option<T>, some: impl Fn(T) -> Value) -> Value {
    value.map_or(Value::Null, some)
}

/// Returns what apache-avro calls the same value.
fn datum(value: Value, symbols: &[String]) -> Datum {
    match value {
        Value::Null => Datum::Null,
        Value::Boolean(is_true) => Datum::Boolean(is_true),
        Value::Int(number) => Datum::Int(number),
        Value::Double(number) => Datum::Double(number),
        Value::TimestampMicros(micros) => Datum::TimestampMicros(micros),
        Value::Date(days) => Datum::Date(days),
        Value::Enum(at) => Datum::Enum(at, symbols[at as usize].clone()),
        Value::Uuid(uuid) => Datum::Uuid(uuid::Uuid::from_u128(uuid)),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn apache_avro_reads_and_writes_every_type_in_the_same_way(
        is_maker: bool, was_maker: Option<bool>, small: Option<i32>, at: Option<i64>, day: Option<i32>,
        share in proptest::option::of(any::<f64>().prop_filter("a number", |share| !share.is_nan())),
        side in proptest::option::of(0_u32..3), value in -(10_i128.pow(38) - 1)..10_i128.pow(38),
        order: Option<u128>, trade: u128,
    ) {
        let columns = Columns::parse(OTHERS).unwrap();
        let values = [
            Value::Boolean(is_maker), or_null(was_maker, Value::Boolean), or_null(small, Value::Int),
            or_null(share, Value::Double), or_null(at, Value::TimestampMicros), or_null(day, Value::Date),
            or_null(side, Value::Enum), Value::Decimal(value), or_null(order, Value::Uuid), Value::Uuid(trade),
        ];
        let mut message = Vec::new();
        encode(77, &columns, &values, b"", &mut message);
        let mut decoded = Vec::new();
        decode(&columns, &message, &mut decoded).unwrap();
        prop_assert_eq!(&decoded[..], &values[..]);

        let schema = Schema::parse_str(OTHERS).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let read = reader.read_value(&mut &message[PREFIX_BYTES..]).unwrap();
        let Datum::Record(fields) = &read else { panic!("not a record") };
        for ((column, value), (_, found)) in columns.iter().zip(values).zip(fields) {
            let found = if let Datum::Union(_, inner) = found { inner.as_ref() } else { found };
            match value {
                Value::Decimal(value) => prop_assert_eq!(plain(found), Some(value)),
                value => prop_assert_eq!(found, &datum(value, &column.symbols)),
            }
        }
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let written = writer.write_value_to_vec(read).unwrap();
        decode(&columns, &[&message[..PREFIX_BYTES], &written].concat(), &mut decoded).unwrap();
        prop_assert_eq!(&decoded[..], &values[..]);
    }

    #[test]
    fn apache_avro_reads_what_is_written(
        at: i64, id: i64, name in ".{0,40}", bet in money(), win in money(), upload: Option<u128>,
    ) {
        let columns = Columns::parse(SCHEMA).unwrap();
        let values = [
            Value::Timestamp(at),
            Value::Long(id),
            Value::Text { start: 0, end: name.len() },
            bet.map_or(Value::Null, Value::Decimal),
            win.map_or(Value::Null, Value::Decimal),
            upload.map_or(Value::Null, Value::Uuid),
        ];
        let mut message = Vec::new();
        encode(77, &columns, &values, name.as_bytes(), &mut message);
        prop_assert_eq!(schema_id(&message), Ok(77));

        let schema = Schema::parse_str(SCHEMA).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let Datum::Record(fields) = reader.read_value(&mut &message[PREFIX_BYTES..]).unwrap() else {
            panic!("not a record")
        };
        prop_assert_eq!(&fields[0].1, &Datum::TimestampMillis(at));
        prop_assert_eq!(&fields[1].1, &Datum::Long(id));
        prop_assert_eq!(&fields[2].1, &Datum::String(name.clone()));
        prop_assert_eq!(plain(&fields[3].1), bet);
        prop_assert_eq!(plain(&fields[4].1), win);
        let Datum::Union(_, found) = &fields[5].1 else { panic!("not a union") };
        let expected = upload.map_or(Datum::Null, |upload| Datum::Uuid(uuid::Uuid::from_u128(upload)));
        prop_assert_eq!(found.as_ref(), &expected);

        let mut decoded = Vec::new();
        decode(&columns, &message, &mut decoded).unwrap();
        prop_assert_eq!(decoded[2].text(&message), name.as_bytes());
        prop_assert_eq!(&decoded[..2], &values[..2]);
        prop_assert_eq!(&decoded[3..], &values[3..]);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = schema_id(&message);
        for schema in [SCHEMA, OTHERS] {
            let _ = decode(&Columns::parse(schema).unwrap(), &message, &mut Vec::new());
        }
    }
}

#[test]
fn values_that_a_type_does_not_have_are_refused() {
    let columns = |kind: &str| {
        Columns::parse(&format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{kind}}}]}}"#))
            .unwrap()
    };
    let decoded = |kind: &str, datum: &[u8]| {
        decode(&columns(kind), &[&[0; PREFIX_BYTES], datum].concat(), &mut Vec::new()).unwrap_err()
    };
    assert_eq!(decoded(r#""boolean""#, &[2]), AvroError::NotABoolean);
    assert_eq!(decoded(r#""boolean""#, &[]), AvroError::TooShort);
    assert_eq!(decoded(r#""int""#, b"\xfe\xff\xff\xff\xff\x01"), AvroError::Overflow);
    assert_eq!(decoded(r#""double""#, &[0; 7]), AvroError::TooShort);
    assert_eq!(decoded(r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2]), AvroError::UnknownSymbol);
    assert_eq!(decoded(r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[1]), AvroError::UnknownSymbol);
    assert_eq!(decoded(r#"{"type":"string","logicalType":"uuid"}"#, b"\x02x"), AvroError::NotAUuid);
}
