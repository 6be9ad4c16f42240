//! Corrects how utoipa describes optional members, to match what serde writes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Marks optional members as left out, where utoipa marks them as null.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            flattened(schema);
            left_out(schema);
            schema.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// `#[serde(flatten)]` of an `Option`: its members are present or not. The object itself is never null.
fn flattened(schema: &mut Map<String, Value>) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(alternatives) = part.get_mut("oneOf").and_then(Value::as_array_mut) else { continue };
        let Some(null) = alternatives.iter_mut().find(|one| one["type"] == "null") else { continue };
        *null = json!({ "type": "object" });
        *part = json!({ "anyOf": alternatives });
    }
}

/// `#[serde(skip_serializing_if = "Option::is_none")]`. Members that are null instead are marked as required.
fn left_out(schema: &mut Map<String, Value>) {
    let names = |value: &Value| value.as_str().map(str::to_owned);
    let required: BTreeSet<String> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(names).collect();
    if schema.get("type").is_none_or(|kind| kind != "object") {
        return;
    }
    let members = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, member) in members.into_iter().flatten().filter(|(name, _)| !required.contains(*name)) {
        if let Some(types) = member.get_mut("type")
            && let Some([only]) = without_null(types)
        {
            *types = only.take();
        }
        if let Some([only]) = member.get_mut("oneOf").and_then(without_null) {
            *member = only.take();
        }
    }
}

/// Removes null from a list of types or schemas, and returns the rest.
fn without_null(list: &mut Value) -> Option<&mut [Value]> {
    let list = list.as_array_mut()?;
    list.retain(|one| one != "null" && one.get("type").is_none_or(|kind| kind != "null"));
    Some(list)
}
