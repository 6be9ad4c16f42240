//! Helpers of the comparison for Avro types.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, Name, UuidSchema};

/// Returns the definitions of all named types in a schema.
pub(super) fn names(schema: &Schema) -> HashMap<&Name, &Schema> {
    let mut names = HashMap::new();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        if let Some(name) = schema.name()
            && !matches!(schema, Schema::Ref { .. })
        {
            names.insert(name, schema);
        }
        match schema {
            Schema::Record(record) => waiting.extend(record.fields.iter().map(|field| &field.schema)),
            Schema::Union(union) => waiting.extend(union.variants()),
            Schema::Array(array) => waiting.push(&array.items),
            Schema::Map(map) => waiting.push(&map.types),
            _ => {}
        }
    }
    names
}

pub(super) fn resolve<'a>(names: &HashMap<&'a Name, &'a Schema>, schema: &'a Schema) -> &'a Schema {
    match schema {
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        other => other,
    }
}

/// Whether Avro can read a value of the type `from` as the type `to`.
pub(super) fn is_promoted(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("int", "long" | "float" | "double")
            | ("long", "float" | "double")
            | ("float", "double")
            | ("string", "bytes")
            | ("bytes", "string")
    )
}

/// Returns the Avro type below a logical type.
pub(super) fn type_name(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => "bytes",
        Schema::Decimal(decimal) => match decimal.inner {
            InnerDecimalSchema::Bytes => "bytes",
            InnerDecimalSchema::Fixed(_) => "fixed",
        },
        Schema::Fixed(_) | Schema::Duration(_) | Schema::Uuid(UuidSchema::Fixed(_)) => "fixed",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Ref { .. } => "an undefined name",
    }
}

/// Returns a logical type that a reader must know to interpret the value. A UUID is not one: it is the same text or bytes for every reader.
pub(super) fn logical_type(schema: &Schema) -> Option<String> {
    let name = match schema {
        Schema::Decimal(decimal) => {
            return Some(format!("decimal({}, {})", decimal.precision, decimal.scale));
        }
        Schema::BigDecimal => "big-decimal",
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        Schema::Duration(_) => "duration",
        _ => return None,
    };
    Some(name.to_owned())
}

pub(super) fn fixed(schema: &Schema) -> Option<&FixedSchema> {
    match schema {
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Some(fixed)
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Fixed(fixed) => Some(fixed),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

pub(super) fn branch_name(schema: &Schema) -> String {
    schema.name().map_or_else(|| type_name(schema).to_owned(), |name| name.fullname(None))
}
