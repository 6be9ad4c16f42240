use super::*;

const BETS: &str = include_str!("../../../schemas/bets.avsc");

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn column(field: &str) -> Column {
    Columns::parse(&record(field)).unwrap().columns.remove(0)
}

#[test]
fn the_schema_of_bets_has_ten_fields_two_filled_columns_and_a_key() {
    let columns = Columns::parse(BETS).unwrap();
    assert_eq!(columns.fields().count(), 10);
    let filled = columns.columns.iter().filter(|column| !column.is_field());
    let filled: Vec<_> = filled.map(|column| (column.name.as_str(), column.source)).collect();
    assert_eq!(filled, [("upload_id", Source::UploadId), ("line", Source::Line)]);
    let key = columns.position("game_instance_id").unwrap();
    assert_eq!((columns.single_key().unwrap(), columns.key()), (key, Some(&[key][..])));
    let bet = &columns.columns[columns.position("real_amount_bet").unwrap()];
    assert_eq!(bet.kind, Kind::Decimal { precision: 28, scale: 8 });
    assert_eq!(bet.nullability, Nullability::NullFirst);
    let user = &columns.columns[columns.position("user_id").unwrap()];
    assert_eq!(user.kind, Kind::Text { min_length: 1, max_length: 128 });
    assert_eq!(columns.unknown_members(), UnknownMembers::Ignore);
}

#[test]
fn every_type_is_read_with_its_attributes() {
    let kind = |text: &str| column(&format!(r#"{{"name":"a","type":{text}}}"#)).kind;
    assert_eq!(kind(r#""boolean""#), Kind::Boolean);
    assert_eq!(kind(r#"["null","int"]"#), Kind::Int);
    assert_eq!(kind(r#""double""#), Kind::Double);
    assert_eq!(kind(r#"{"type":"long","logicalType":"timestamp-micros"}"#), Kind::TimestampMicros);
    assert_eq!(kind(r#"{"type":"int","logicalType":"date"}"#), Kind::Date);
    assert_eq!(kind(r#"{"type":"string","logicalType":"uuid"}"#), Kind::UuidText);
    assert_eq!(kind(r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#), Kind::Uuid);
    assert_eq!(
        kind(r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":0}"#),
        Kind::Decimal { precision: 38, scale: 0 }
    );
    let side = column(r#"{"name":"side","type":{"type":"enum","name":"Side","symbols":["BUY","SELL"]}}"#);
    assert_eq!((side.kind, side.symbol(1), side.symbol(2)), (Kind::Enum, "SELL", ""));
    let price = column(
        r#"{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":4},
            "minimum":"0.01","maximum":1e3,"aliases":["p"],"path":"/data/p"}"#,
    );
    assert_eq!(
        (price.bounds.minimum, price.bounds.maximum),
        (Some(Value::Decimal(100)), Some(Value::Decimal(10_000_000)))
    );
    assert_eq!(price.names().collect::<Vec<_>>(), ["price", "p"]);
    assert_eq!(price.path.unwrap().names(), ["data", "p"]);
    let born = column(r#"{"name":"d","type":{"type":"int","logicalType":"date"},"minimum":"1900-01-01"}"#);
    assert_eq!(born.bounds.minimum, Some(Value::Date(-25_567)));
    let at = r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"},"maximum":"2020-01-01T00:00:00.000001Z"}"#;
    assert_eq!(column(at).bounds.maximum, Some(Value::TimestampMicros(1_577_836_800_000_001)));
    let code = column(r#"{"name":"c","type":"string","pattern":"[A-Z]{3}"}"#);
    assert!(code.pattern.is_some_and(|pattern| pattern.matches(b"EUR") && !pattern.matches(b"EURO")));
}

#[test]
fn a_type_that_an_earlier_field_defines_can_be_used_by_name() {
    let columns = Columns::parse(&record(
        r#"{"name":"a","type":{"type":"enum","name":"Side","symbols":["BUY","SELL"]}},{"name":"b","type":["null","Side"]}"#,
    ));
    let columns = columns.unwrap();
    assert_eq!(columns.get(1).map(|column| (column.kind, column.symbol(1))), Some((Kind::Enum, "SELL")));
}

#[test]
fn a_key_has_any_number_of_required_columns_and_ends_in_a_number_from_0_up() {
    let fields = r#"{"name":"symbol","type":"string"},{"name":"id","type":"int","minimum":0},{"name":"n","type":["null","long"],"minimum":0},
        {"name":"ratio","type":"double"}"#;
    let with = |key: &str| {
        Columns::parse(&format!(r#"{{"type":"record","name":"R","key":{key},"fields":[{fields}]}}"#))
    };
    assert_eq!(with(r#"["symbol","id"]"#).unwrap().key(), Some(&[0, 1][..]));
    assert!(with(r#"["symbol","id"]"#).unwrap().single_key().is_err());
    assert_eq!(with(r#""id""#).unwrap().single_key().unwrap(), 1);
    assert_eq!(Columns::parse(&record(fields)).unwrap().key(), None);
    for (key, expected) in [
        (r#""x""#, "there is no field x"),
        (r#""n""#, "field n may be null"),
        (
            r#"["ratio","id"]"#,
            "field ratio is a double, whose values need not be equal where they look equal; use a decimal",
        ),
        (r#"["id","symbol"]"#, "symbol, is not a whole number"),
        (r#"["id","id"]"#, "field id occurs twice"),
        ("[]", "key is not the name of a field"),
        ("7", "key is not the name of a field"),
    ] {
        let error = with(key).unwrap_err();
        assert!(error.message.contains(expected), "{key}: {error}");
    }
}

#[test]
fn a_mistake_is_reported_with_its_line_its_field_and_a_remedy() {
    for (field, expected) in [
        (r#""type": {"type":"array","items":"string"}"#, "field a: unsupported type; use long"),
        (r#""type": "float""#, "field a: unsupported type; use long"),
        (r#""type": ["null","long","string"]"#, "field a: a union must be of null and one other type"),
        (
            r#""type": "long", "minimun": 0"#,
            "field a: unknown attribute minimun; remove it, or use one of minimum",
        ),
        (r#""type": "boolean", "minimum": 0"#, "field a: minimum does not apply to this type; remove it"),
        (r#""type": "long", "pattern": "x""#, "field a: pattern does not apply to this type; remove it"),
        (
            r#""type": "long", "minimum": "0""#,
            "field a: minimum is not a value of the field; write a whole number",
        ),
        (r#""type": "long", "minimum": 5, "maximum": 4"#, "field a: minimum is above maximum; lower it"),
        (r#""type": "double", "minimum": 0.5, "maximum": 0.25"#, "field a: minimum is above maximum"),
        (r#""type": "string", "min_length": 5, "max_length": 4"#, "field a: min_length is above max_length"),
        (r#""type": "string", "max_length": -1"#, "field a: max_length is not a length"),
        (
            r#""type": "string", "pattern": "[a-""#,
            "field a: pattern cannot be used: unclosed character class",
        ),
        (r#""type": "string", "path": "data""#, "field a: path is not a JSON Pointer; write"),
        (r#""type": "string", "aliases": ["B"]"#, "field b: the name b belongs to field a, too; rename"),
        (r#""type": "string", "aliases": ["A", "a"]"#, "field a: the name a occurs twice; remove one"),
        (r#""type": "string", "path": "/b""#, "field b: its place /b in a JSON object is"),
        (r#""type": "string", "source": "line""#, "field a: the source must be upload_id"),
        (r#""type": "long", "source": "line""#, "field a: a field that an upload fills in must be nullable"),
        (
            r#""type": {"type":"bytes","logicalType":"decimal","precision":39,"scale":0}"#,
            "field a: a decimal has at most 38 digits",
        ),
        (r#""type": "lon""#, "not an Avro schema"),
        (r#""type": "long", "default": "x""#, "not an Avro schema"),
    ] {
        let line_of = |text: &str| 1 + text.lines().position(|line| line.contains("HERE")).unwrap();
        // The mistake is on the line of `a`, or on that of `b` where two fields collide.
        let text = format!(
            "{{\"type\": \"record\", \"name\": \"R\",\n \"fields\": [\n  {{\"name\": \"z\", \"type\": \"long\"}},\n  \
             {{\"name\": \"a\", {field}, \"doc\": \"HERE\"}},\n  {{\"name\": \"b\", \"type\": \"long\"}}\n]}}"
        );
        let error = Columns::parse(&text).unwrap_err();
        let line = line_of(&text) + usize::from(expected.starts_with("field b"));
        assert_eq!(error.line, line, "{field}: {error}");
        assert!(error.message.starts_with(expected), "{field}: {error}");
        assert!(error.message.contains(';') || expected.starts_with("not an"), "{error}");
    }
    let error = Columns::parse("{\n\n\"type\": }").unwrap_err();
    assert_eq!(error.line, 3, "{error}");
    let error =
        Columns::parse("{\"type\":\"record\",\"name\":\"R\",\n\"fields\":[],\n\"keys\":\"a\"}").unwrap_err();
    assert_eq!(
        (error.line, error.message.starts_with("unknown attribute keys of the record")),
        (3, true),
        "{error}"
    );
    let error = Columns::parse("\"long\"").unwrap_err();
    assert!(error.message.starts_with("the schema is not a record"), "{error}");
}

#[test]
fn the_schema_of_another_producer_may_have_any_attributes() {
    let text = r#"{"type":"record","name":"R","connect.version":1,"key":"nothing","fields":[
        {"name":"a","type":"string","avro.java.string":"String","minimum":"x","source":"postgres"}]}"#;
    assert!(Columns::parse(text).is_err());
    let columns = Columns::of_writer(text).unwrap();
    assert_eq!((columns.key(), columns.fields().count()), (None, 1));
}

#[test]
fn what_another_schema_has_written_is_read_if_it_means_the_same() {
    let of = |text: &str| column(&format!(r#"{{"name":"a","type":{text}}}"#));
    let symbols = |list: &str| of(&format!(r#"{{"type":"enum","name":"E","symbols":{list}}}"#));
    let ours = symbols(r#"["A","B","C"]"#);
    assert!(ours.can_read(&symbols(r#"["A","B"]"#)));
    assert!(!ours.can_read(&symbols(r#"["B","A"]"#)));
    assert!(!ours.can_read(&symbols(r#"["A","B","C","D"]"#)));
    assert!(!ours.can_read(&of(r#""string""#)));
    assert!(of(r#"["null","int"]"#).can_read(&of(r#""int""#)));
    assert!(!of(r#""int""#).can_read(&of(r#"["null","int"]"#)));
    assert!(!of(r#""long""#).can_read(&of(r#""int""#)));
}

#[test]
fn values_of_another_producer_must_be_within_the_bounds() {
    let share = column(r#"{"name":"a","type":"double","minimum":0,"maximum":1}"#);
    for (value, is_admitted) in
        [(0.0, true), (1.0, true), (1.5, false), (-0.1, false), (f64::NAN, false), (f64::INFINITY, false)]
    {
        assert_eq!(share.admits(Value::Double(value)), is_admitted, "{value}");
    }
    let count = column(r#"{"name":"a","type":"long","minimum":1,"maximum":9}"#);
    assert_eq!([0, 1, 9, 10].map(|number| count.admits(Value::Long(number))), [false, true, true, false]);
    let side = column(r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["A"]}}"#);
    assert_eq!([0, 1].map(|at| side.admits(Value::Enum(at))), [true, false]);
    assert!(!side.admits(Value::Int(0)));
}
