//! Examples of answers, made from the types of their columns.

use serde_json::{Map, Value, json};

use crate::dataset::endpoint::types::{Member, Type};
use crate::endpoints::{Column, Prepared};

/// One row as an object.
pub(super) fn row(prepared: &Prepared) -> Value {
    let member = |column: &Column| (column.name.clone(), value(&column.kind));
    Value::Object(prepared.columns.iter().map(member).collect())
}

/// A header line and one row of CSV.
pub(super) fn csv(prepared: &Prepared) -> String {
    let names: Vec<&str> = prepared.columns.iter().map(|column| column.name.as_str()).collect();
    let values = prepared.columns.iter().map(|column| match value(&column.kind) {
        Value::Null => "\\N".to_owned(),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    });
    format!("{}\n{}\n", names.join(","), values.collect::<Vec<_>>().join(","))
}

/// An object with the parameters that have no default.
pub(super) fn body(prepared: &Prepared) -> Value {
    let required = prepared.endpoint.parameters.iter().filter(|parameter| parameter.is_required);
    Value::Object(required.map(|parameter| (parameter.name.clone(), value(&parameter.kind))).collect())
}

fn value(kind: &Type) -> Value {
    match kind {
        Type::LowCardinality(inner) | Type::Nullable(inner) => value(inner),
        Type::Bool => json!(true),
        Type::Integer { bits: 128.., .. } => json!("1"),
        Type::Integer { .. } => json!(1),
        Type::Float(_) => json!(1.5),
        Type::Decimal { .. } => json!("1"),
        Type::Enum(names) => json!(names.first()),
        Type::Date | Type::Date32 => json!("2026-11-28"),
        Type::DateTime { .. } => json!("2026-11-28T08:00:00Z"),
        Type::DateTime64 { precision: 0, .. } => json!("2026-11-28T08:00:00Z"),
        Type::DateTime64 { precision, .. } => {
            json!(format!("2026-11-28T08:00:00.{}Z", "0".repeat((*precision).into())))
        }
        Type::Uuid => json!("01890a5d-ac96-774b-bcce-b302099a8057"),
        Type::Ipv4 => json!("192.0.2.1"),
        Type::Ipv6 => json!("2001:db8::1"),
        Type::Array(inner) => json!([value(inner)]),
        Type::Tuple(members) if members.iter().all(|member| member.name.is_some()) => {
            let pair = |member: &Member| (member.name.clone().unwrap_or_default(), value(&member.kind));
            Value::Object(members.iter().map(pair).collect())
        }
        Type::Tuple(members) => members.iter().map(|member| value(&member.kind)).collect(),
        Type::Map(_, inner) => Value::Object(Map::from_iter([("key".to_owned(), value(inner))])),
        Type::FixedString(_) | Type::String | Type::Other(_) => json!("a"),
    }
}
