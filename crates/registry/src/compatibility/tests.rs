use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use proptest::prelude::*;

use super::*;
use crate::schema::AvroSchema;

fn parse(schema: &str) -> Schema {
    AvroSchema::parse(schema).expect("a valid schema").parsed
}

fn reads(writer: &str, reader: &str) -> Vec<String> {
    let differences = differences(&parse(writer), &parse(reader)).expect("comparable");
    differences.iter().map(|difference| difference.explain("new", "old")).collect()
}

/// Returns a record like that of game rounds, with one more field.
fn row(field: &str) -> String {
    format!(r#"{{"type":"record","name":"Bet","fields":[{{"name":"id","type":"long"}},{field}]}}"#)
}

const DECIMAL: &str =
    r#"{"name":"bet","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]}"#;
const TIMESTAMP: &str = r#"{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}"#;

#[test]
fn changes_that_break_readers_are_named() {
    let broken = [
        (DECIMAL, DECIMAL.replace("18", "20"), "decimal(20, 2)"),
        (DECIMAL, DECIMAL.replace(r#""scale":2"#, r#""scale":4"#), "decimal(18, 4)"),
        (DECIMAL, r#"{"name":"bet","type":["null","bytes"]}"#.to_owned(), "no logical type"),
        (DECIMAL, r#"{"name":"bet","type":["null","double"]}"#.to_owned(), "TYPE_MISMATCH"),
        (DECIMAL, DECIMAL.replace(r#"["null","#, "").replace("}]}", "}}"), "union branch null"),
        (TIMESTAMP, TIMESTAMP.replace("millis", "micros"), "timestamp-micros"),
        (TIMESTAMP, TIMESTAMP.replace("timestamp", "local-timestamp"), "local-timestamp-millis"),
        (TIMESTAMP, r#"{"name":"at","type":"long"}"#.to_owned(), "no logical type"),
        (TIMESTAMP, r#"{"name":"at","type":"string"}"#.to_owned(), "TYPE_MISMATCH"),
        (TIMESTAMP, r#"{"name":"when","type":"long"}"#.to_owned(), "field 'when'"),
    ];
    for (writer, reader, expected) in broken {
        let found = reads(&row(writer), &row(&reader));
        assert!(found.iter().any(|message| message.contains(expected)), "{reader}: {found:?}");
    }
}

#[test]
fn changes_that_do_not_break_readers_are_allowed() {
    let record = row(TIMESTAMP);
    for reader in [
        record.clone(),
        row(&TIMESTAMP.replace(r#"{"type":"long","#, r#"{"type":"long","custom":1,"#)),
        row(&format!(r#"{TIMESTAMP},{{"name":"new","type":"int","default":0}}"#)),
        row(r#"{"name":"when","aliases":["at"],"type":{"type":"long","logicalType":"timestamp-millis"}}"#),
        r#"{"type":"record","name":"Bet","fields":[{"name":"id","type":"double"}]}"#.to_owned(),
        r#"{"type":"record","name":"other.Bet","fields":[]}"#.to_owned(),
        r#"{"type":"record","name":"Round","aliases":["Bet"],"fields":[]}"#.to_owned(),
    ] {
        assert_eq!(reads(&record, &reader), [""; 0], "{reader}");
    }
}

#[test]
fn a_field_can_be_added_and_removed_if_it_has_a_default() {
    let without = row(TIMESTAMP);
    let plain = row(&format!(r#"{TIMESTAMP},{{"name":"x","type":"int"}}"#));
    let defaulted = row(&format!(r#"{TIMESTAMP},{{"name":"x","type":"int","default":0}}"#));
    let allowed = |level, new: &str, old: &str| {
        conflicts(level, &parse(new), &parse(old)).expect("comparable").is_empty()
    };
    for (level, adding_plain, removing_plain) in [
        (Level::Backward, false, true),
        (Level::Forward, true, false),
        (Level::Full, false, false),
        (Level::None, true, true),
    ] {
        assert_eq!(allowed(level, &plain, &without), adding_plain, "{level:?}");
        assert_eq!(allowed(level, &without, &plain), removing_plain, "{level:?}");
        assert!(allowed(level, &defaulted, &without), "{level:?}");
        assert!(allowed(level, &without, &defaulted), "{level:?}");
    }
}

#[test]
fn enums_need_all_symbols_or_a_default() {
    let two = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
    let one = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
    let one_with_default = r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#;
    assert_eq!(reads(one, two), [""; 0]);
    assert!(reads(two, one)[0].contains("[B]"));
    assert_eq!(reads(two, one_with_default), [""; 0]);
}

#[test]
fn references_are_compared_by_their_definition_wherever_it_is() {
    // `b` refers to a type that only the reader's field `a` defines, which has a default.
    let writer = r#"{"type":"record","name":"R","fields":[{"name":"z","type":{"type":"fixed","name":"F","size":2}},{"name":"b","type":"F"}]}"#;
    let reader = r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":4},"default":"aaaa"},{"name":"b","type":"F"}]}"#;
    assert!(reads(writer, reader)[0].contains("FIXED_SIZE_MISMATCH"));
    // The type is defined in another place.
    let moved = r#"{"type":"record","name":"R","fields":[{"name":"b","type":{"type":"fixed","name":"F","size":2}},{"name":"z","type":"F"}]}"#;
    assert_eq!(reads(writer, moved), [""; 0]);
}

#[test]
fn recursive_types_are_compared_completely() {
    let list = |value: &str| {
        format!(
            r#"{{"type":"record","name":"L","fields":[{{"name":"next","type":["null","L"]}},{{"name":"value","type":"{value}"}}]}}"#
        )
    };
    assert_eq!(reads(&list("int"), &list("long")), [""; 0]);
    assert!(reads(&list("long"), &list("int"))[0].contains("/fields/value"));
}

#[test]
fn a_pair_that_fails_does_not_stay_readable_by_assumption() {
    // B is compared inside A, while A is assumed to be readable. A fails, so B must fail in every place.
    let schema = |value: &str| {
        format!(
            r#"{{"type":"record","name":"Top","fields":[
                {{"name":"u","type":["string",{{"type":"record","name":"A","fields":[
                    {{"name":"b","type":{{"type":"record","name":"B","fields":[{{"name":"a","type":["null","A"]}}]}}}},
                    {{"name":"v","type":"{value}"}}]}}]}},
                {{"name":"b","type":"B"}}]}}"#
        )
    };
    let found = reads(&schema("long"), &schema("int"));
    assert!(found.iter().any(|message| message.contains("/fields/b/fields/a")), "{found:?}");
}

#[test]
fn schemas_that_are_too_complex_are_refused_without_a_crash() {
    let chain: Vec<String> = (0..5_000)
        .map(|level| match level {
            0 => r#"{"type":"record","name":"R0","fields":[]}"#.to_owned(),
            _ => format!(
                r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":"R{}"}}]}}"#,
                level - 1
            ),
        })
        .collect();
    // The last type comes first, because it leads through all others.
    let schema = format!(
        r#"{{"type":"record","name":"Top","fields":[{{"name":"all","type":[{}]}},{{"name":"last","type":"R4999"}}]}}"#,
        chain.join(",")
    );
    assert!(AvroSchema::parse(&schema).is_err());
    let wide: Vec<String> =
        (0..3_000).map(|number| format!(r#"{{"type":"fixed","name":"F{number}","size":1}}"#)).collect();
    assert!(AvroSchema::parse(&format!("[{}]", wide.join(","))).is_err());
}

fn any_type() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
            .prop_map(|name| format!("\"{name}\"")),
        prop::sample::select(vec!["timestamp-millis", "timestamp-micros", "time-micros"])
            .prop_map(|name| format!(r#"{{"type":"long","logicalType":"{name}"}}"#)),
        (1..4_u8, 0..2_u8).prop_map(|(precision, scale)| format!(
            r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#
        )),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| format!(r#"{{"type":"array","items":{items}}}"#)),
            inner.clone().prop_map(|values| format!(r#"{{"type":"map","values":{values}}}"#)),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|branches| format!("[{}]", branches.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_never_more_lenient_than_the_library_and_a_schema_can_read_itself(one in any_type(), other in any_type()) {
        // Some of these unions are invalid.
        let (Ok(one), Ok(other)) = (AvroSchema::parse(&one), AvroSchema::parse(&other)) else {
            return Err(TestCaseError::reject("not a schema"));
        };
        prop_assert!(differences(&one.parsed, &one.parsed).expect("comparable").is_empty());
        if differences(&one.parsed, &other.parsed).expect("comparable").is_empty() {
            prop_assert_eq!(SchemaCompatibility::can_read(&one.parsed, &other.parsed).ok(), Some(Compatibility::Full));
        }
    }
}
