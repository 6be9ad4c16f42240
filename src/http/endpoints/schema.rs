//! JSON schemas of types, for the description of the API.

use serde_json::{Value, json};

use crate::dataset::endpoint::parameter::{MAX_ELEMENTS, Parameter};
use crate::dataset::endpoint::types::{Member, Type};

/// A decimal number as text.
const DECIMAL: &str = "^-?[0-9]+([.][0-9]+)?$";

/// Describes a column of an answer.
pub(super) fn of_result(kind: &Type) -> Value {
    match kind {
        Type::LowCardinality(inner) => of_result(inner),
        Type::Nullable(inner) => with_null(of_result(inner)),
        // NaN and infinity are null.
        Type::Float(_) => json!({ "type": ["number", "null"] }),
        Type::Array(inner) => json!({ "type": "array", "items": of_result(inner) }),
        Type::Map(_, value) => json!({ "type": "object", "additionalProperties": of_result(value) }),
        Type::Tuple(members) if members.iter().all(|member| member.name.is_some()) => object(
            members
                .iter()
                .map(|member| (member.name.as_deref().unwrap_or_default(), of_result(&member.kind))),
        ),
        Type::Tuple(members) => list(members, of_result),
        Type::Integer { bits: 128.., .. } => json!({ "type": "string", "pattern": "^-?[0-9]+$" }),
        Type::Enum(_) | Type::Ipv4 | Type::Ipv6 => json!({ "type": "string" }),
        other => of_value(other),
    }
}

/// Describes an object all of whose members are present.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let properties: serde_json::Map<String, Value> =
        members.map(|(name, schema)| (name.to_owned(), schema)).collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Describes a parameter. `in_query`: arrays are repeated values there, and tuples are JSON text.
pub(super) fn of_parameter(parameter: &Parameter, in_query: bool) -> Value {
    let mut schema = of_value_in(&parameter.kind, in_query);
    let limits = match parameter.kind.bare().0 {
        Type::Array(_) => ("minItems", "maxItems"),
        Type::Integer { bits: ..=64, .. } | Type::Float(_) => ("minimum", "maximum"),
        _ => return with_default(schema, parameter),
    };
    for (name, limit) in [(limits.0, &parameter.minimum), (limits.1, &parameter.maximum)] {
        if let Some(number) = limit.as_ref().and_then(|limit| number(&limit.to_string())) {
            schema[name] = number;
        }
    }
    if limits.1 == "maxItems" && parameter.maximum.is_none() {
        schema["maxItems"] = MAX_ELEMENTS.into();
    }
    with_default(schema, parameter)
}

fn number(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn with_default(mut schema: Value, parameter: &Parameter) -> Value {
    if let Some(default) = &parameter.default {
        let is_text = schema["type"] == "string";
        schema["default"] =
            number(default).filter(|_| !is_text).unwrap_or_else(|| Value::from(default.as_str()));
    }
    schema
}

fn of_value_in(kind: &Type, in_query: bool) -> Value {
    match kind {
        Type::LowCardinality(inner) => of_value_in(inner, in_query),
        Type::Nullable(inner) if in_query => of_value_in(inner, in_query),
        Type::Array(inner) if in_query => match &**inner {
            Type::Array(_) | Type::Tuple(_) => {
                json!({ "type": "array", "items": { "type": "string", "contentMediaType": "application/json" } })
            }
            inner => json!({ "type": "array", "items": of_value_in(inner, in_query) }),
        },
        Type::Tuple(_) if in_query => json!({ "type": "string", "contentMediaType": "application/json" }),
        Type::Nullable(inner) => with_null(of_value_in(inner, in_query)),
        Type::Array(inner) => json!({ "type": "array", "items": of_value_in(inner, in_query) }),
        Type::Tuple(members) => list(members, |kind| of_value_in(kind, in_query)),
        Type::Integer { bits: 64.., .. } if !in_query => {
            json!({ "anyOf": [{ "type": "integer" }, { "type": "string", "pattern": "^[+-]?[0-9]{1,78}$" }] })
        }
        Type::Decimal { .. } if !in_query => {
            json!({ "anyOf": [{ "type": "integer" }, { "type": "string", "pattern": "^[+-]?[0-9]+([.][0-9]+)?$" }] })
        }
        other => of_value(other),
    }
}

/// Describes a value in JSON.
fn of_value(kind: &Type) -> Value {
    match kind {
        Type::LowCardinality(inner) => of_value(inner),
        Type::Nullable(inner) => with_null(of_value(inner)),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Integer { is_signed, bits: bits @ 8..=32 } => {
            let values = 1_u64 << bits;
            let (least, most) =
                if *is_signed { (-((values / 2) as i64), values / 2 - 1) } else { (0, values - 1) };
            json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most })
        }
        Type::Integer { is_signed: true, bits: 64 } => {
            json!({ "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX })
        }
        Type::Integer { is_signed: false, bits: 64 } => {
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
        }
        Type::Integer { is_signed, .. } => {
            json!({ "type": "string", "pattern": if *is_signed { "^-?[0-9]{1,38}$" } else { "^[0-9]{1,38}$" } })
        }
        Type::Float(_) => json!({ "type": "number" }),
        Type::Decimal { .. } => json!({ "type": "string", "pattern": DECIMAL }),
        Type::FixedString(bytes) => json!({ "type": "string", "maxLength": bytes }),
        Type::Enum(names) => json!({ "type": "string", "enum": names }),
        Type::Date | Type::Date32 => json!({ "type": "string", "format": "date" }),
        Type::DateTime { .. } | Type::DateTime64 { .. } => json!({ "type": "string", "format": "date-time" }),
        Type::Uuid => json!({ "type": "string", "format": "uuid" }),
        Type::Ipv4 => json!({ "type": "string", "format": "ipv4" }),
        Type::Ipv6 => json!({ "type": "string", "format": "ipv6" }),
        Type::Array(inner) => json!({ "type": "array", "items": of_value(inner) }),
        Type::Tuple(members) => list(members, of_value),
        Type::String | Type::Map(..) | Type::Other(_) => json!({ "type": "string" }),
    }
}

fn list(members: &[Member], describe: impl Fn(&Type) -> Value) -> Value {
    let items: Vec<Value> = members.iter().map(|member| describe(&member.kind)).collect();
    json!({ "type": "array", "prefixItems": items, "minItems": members.len(), "maxItems": members.len() })
}

fn with_null(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) => schema["type"] = json!([kind, "null"]),
        Some(Value::Array(_)) => {}
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    schema
}
