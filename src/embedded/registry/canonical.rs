//! The one spelling of an Avro schema: two texts with the same canonical text are the same schema.
//!
//! As Confluent's, it keeps everything a schema says (docs, defaults, aliases, custom attributes) and drops how
//! it was typed: whitespace, the order of attributes, `{"type": "long"}` for `"long"`, full names for a name and
//! a namespace. On the way it refuses what the parser of `apache-avro` lets pass: names defined twice, references
//! through an alias, fields that are no objects, empty unions, defaults that unfold without end.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// Records that the default of one field may unfold into through defaults of fields of those records. The parser
/// unfolds each, recursively, and twenty short lines can ask for a million.
const MAX_DEFAULT_RECORDS: u64 = 200;

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Returns the canonical text of a schema.
///
/// # Errors
/// Says in a few words what is wrong with it.
pub(super) fn canonical(schema: &Value) -> Result<String, String> {
    let mut canonicalizer = Canonicalizer::default();
    canonicalizer.schema(schema, "")?;
    Ok(canonicalizer.text)
}

/// Records that a value of a type takes when every field is left to its default.
type Unfolded = u64;

#[derive(Default)]
struct Canonicalizer {
    text: String,
    /// The full names defined so far.
    names: HashMap<String, Unfolded>,
}

impl Canonicalizer {
    /// Writes any schema; the depth of its JSON, and with it this recursion, is limited by `serde_json`.
    fn schema(&mut self, schema: &Value, namespace: &str) -> Result<Unfolded, String> {
        match schema {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(attributes) => self.object(attributes, namespace),
            other => Err(format!("a schema is a string, an object or an array, not {}", excerpt(other))),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<Unfolded, String> {
        if PRIMITIVES.contains(&name) {
            self.string(name);
            return Ok(0);
        }
        let full = full_name(name, namespace);
        let unfolded = *self.names.get(&full).ok_or_else(|| format!("undefined name: {}", short(name)))?;
        let (space, simple) = split(&full);
        match space {
            _ if space == namespace => self.string(simple),
            "" => self.string(&format!(".{simple}")),
            _ => self.string(&full),
        }
        Ok(unfolded)
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Unfolded, String> {
        if branches.is_empty() {
            return Err("a union has at least one branch".to_owned());
        }
        let mut unfolded: Unfolded = 0;
        self.text.push('[');
        for (position, branch) in branches.iter().enumerate() {
            self.comma(position);
            unfolded = unfolded.saturating_add(self.schema(branch, namespace)?);
        }
        self.text.push(']');
        Ok(unfolded)
    }

    fn object(&mut self, attributes: &Map<String, Value>, namespace: &str) -> Result<Unfolded, String> {
        let kind = attributes.get("type").ok_or("a schema lacks its \"type\"")?;
        let Value::String(kind) = kind else {
            // {"type": {…}} is the inner schema; attributes outside of it would belong to nothing.
            return match attributes.len() {
                1 => self.schema(kind, namespace),
                _ => Err("attributes beside a nested \"type\": put them into the inner object".to_owned()),
            };
        };
        match kind.as_str() {
            "record" => self.record(attributes, namespace),
            "enum" => {
                self.definition(attributes, "enum", namespace)?;
                self.attribute("symbols", attributes.get("symbols").ok_or("an enum lacks its \"symbols\"")?);
                self.rest(attributes, &["type", "name", "namespace", "doc", "symbols", "aliases"]);
                Ok(0)
            }
            "fixed" => {
                self.definition(attributes, "fixed", namespace)?;
                self.attribute("size", attributes.get("size").ok_or("a fixed lacks its \"size\"")?);
                self.rest(attributes, &["type", "name", "namespace", "doc", "size", "aliases"]);
                Ok(0)
            }
            "array" => self.container(attributes, "array", "items", namespace),
            "map" => self.container(attributes, "map", "values", namespace),
            primitive if PRIMITIVES.contains(&primitive) && attributes.len() > 1 => {
                self.text.push_str("{\"type\":");
                self.string(primitive);
                self.rest(attributes, &["type"]);
                Ok(0)
            }
            // A reference takes nothing over from the object around it.
            name => self.named(name, namespace),
        }
    }

    fn container(
        &mut self,
        attributes: &Map<String, Value>,
        kind: &str,
        content: &str,
        namespace: &str,
    ) -> Result<Unfolded, String> {
        let inner = attributes.get(content).ok_or_else(|| format!("{kind} lacks its \"{content}\""))?;
        let _ = write!(self.text, "{{\"type\":\"{kind}\",\"{content}\":");
        let unfolded = self.schema(inner, namespace)?;
        self.rest(attributes, &["type", content]);
        Ok(unfolded)
    }

    fn record(&mut self, attributes: &Map<String, Value>, namespace: &str) -> Result<Unfolded, String> {
        let full = self.definition(attributes, "record", namespace)?;
        let Some(Value::Array(fields)) = attributes.get("fields") else {
            return Err(format!("record {} lacks its \"fields\"", short(&full)));
        };
        let (namespace, _) = split(&full);
        let mut unfolded: Unfolded = 1;
        self.text.push_str(",\"fields\":[");
        for (position, field) in fields.iter().enumerate() {
            self.comma(position);
            unfolded = unfolded.saturating_add(self.field(field, &full, namespace)?);
        }
        self.text.push(']');
        self.rest(attributes, &["type", "name", "namespace", "doc", "fields", "aliases"]);
        self.names.insert(full, unfolded);
        Ok(unfolded)
    }

    /// Writes a field; returns the records that its default unfolds into.
    fn field(&mut self, field: &Value, record: &str, namespace: &str) -> Result<Unfolded, String> {
        let Value::Object(attributes) = field else {
            return Err(format!("a field of {} is no object", short(record)));
        };
        let name = text_attribute(attributes, "name")?
            .ok_or_else(|| format!("a field of {} lacks its \"name\"", short(record)))?;
        let kind =
            attributes.get("type").ok_or_else(|| format!("field {} lacks its \"type\"", short(name)))?;
        self.text.push_str("{\"name\":");
        self.string(name);
        self.text.push_str(",\"type\":");
        let inner = self.schema(kind, namespace)?;
        self.doc(attributes)?;
        let mut unfolded: Unfolded = 0;
        if let Some(default) = attributes.get("default") {
            unfolded = inner.saturating_mul(objects(default));
            if unfolded > MAX_DEFAULT_RECORDS {
                return Err(format!("the default of field {} unfolds into too many records", short(name)));
            }
            self.attribute("default", default);
        }
        match attributes.get("order").map(Value::as_str) {
            None | Some(Some("ascending")) => {}
            Some(Some(order @ ("descending" | "ignore"))) => self.attribute("order", &order.into()),
            Some(_) => return Err(format!("field {} has an unknown \"order\"", short(name))),
        }
        self.aliases(attributes)?;
        self.rest(attributes, &["name", "type", "doc", "default", "order", "aliases"]);
        Ok(unfolded)
    }

    /// Writes the head of a named type and takes its full name, which it returns.
    fn definition(
        &mut self,
        attributes: &Map<String, Value>,
        kind: &str,
        enclosing: &str,
    ) -> Result<String, String> {
        let name = text_attribute(attributes, "name")?.ok_or_else(|| format!("{kind} lacks its \"name\""))?;
        let namespace = text_attribute(attributes, "namespace")?.unwrap_or(enclosing);
        let full = full_name(name, namespace);
        if self.names.insert(full.clone(), 0).is_some() {
            return Err(format!("{} is defined twice", short(&full)));
        }
        let (namespace, simple) = split(&full);
        let _ = write!(self.text, "{{\"type\":\"{kind}\",\"name\":");
        self.string(simple);
        if namespace != enclosing {
            self.attribute("namespace", &namespace.into());
        }
        self.doc(attributes)?;
        self.aliases(attributes)?;
        Ok(full)
    }

    fn doc(&mut self, attributes: &Map<String, Value>) -> Result<(), String> {
        if let Some(doc) = text_attribute(attributes, "doc")? {
            self.attribute("doc", &doc.into());
        }
        Ok(())
    }

    fn aliases(&mut self, attributes: &Map<String, Value>) -> Result<(), String> {
        match attributes.get("aliases") {
            None => Ok(()),
            Some(Value::Array(aliases)) if aliases.iter().all(Value::is_string) => {
                if !aliases.is_empty() {
                    self.attribute("aliases", &aliases.clone().into());
                }
                Ok(())
            }
            Some(other) => Err(format!("\"aliases\" is an array of strings, not {}", excerpt(other))),
        }
    }

    /// Writes the attributes that are not in `written`, sorted, and closes the object.
    fn rest(&mut self, attributes: &Map<String, Value>, written: &[&str]) {
        let mut rest: Vec<_> =
            attributes.iter().filter(|(key, _)| !written.contains(&key.as_str())).collect();
        rest.sort_by_key(|(key, _)| *key);
        for (key, value) in rest {
            self.attribute(key, value);
        }
        self.text.push('}');
    }

    fn attribute(&mut self, key: &str, value: &Value) {
        self.text.push(',');
        self.string(key);
        let _ = write!(self.text, ":{value}");
    }

    fn string(&mut self, text: &str) {
        let _ = write!(self.text, "{}", Value::from(text));
    }

    fn comma(&mut self, position: usize) {
        if position > 0 {
            self.text.push(',');
        }
    }
}

/// Returns a name with its namespace, which it brings along if it has a dot.
fn full_name(name: &str, namespace: &str) -> String {
    match name.rsplit_once('.') {
        Some(("", simple)) => simple.to_owned(),
        Some(_) => name.to_owned(),
        None if namespace.is_empty() => name.to_owned(),
        None => format!("{namespace}.{name}"),
    }
}

/// Splits a full name into namespace and simple name.
fn split(full: &str) -> (&str, &str) {
    full.rsplit_once('.').unwrap_or(("", full))
}

fn text_attribute<'a>(attributes: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match attributes.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("\"{key}\" is a string, not {}", excerpt(other))),
    }
}

/// Counts the objects in a default value: each may stand for a record with fields left out.
fn objects(default: &Value) -> u64 {
    match default {
        Value::Object(members) => members.values().map(objects).fold(1, u64::saturating_add),
        Value::Array(items) => items.iter().map(objects).fold(0, u64::saturating_add),
        _ => 0,
    }
}

fn excerpt(value: &Value) -> String {
    short(&value.to_string())
}

/// Cuts a text that goes into an error message.
fn short(text: &str) -> String {
    const LENGTH: usize = 80;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(schema: &str) -> Result<String, String> {
        canonical(&serde_json::from_str(schema).expect("JSON"))
    }

    #[test]
    fn what_is_typed_differently_is_the_same() {
        let same = [
            (r#"{"type":"long"}"#, r#" "long" "#),
            (r#"{"type":{"type":"long"}}"#, r#""long""#),
            (
                r#"{"name":"a.b.R","type":"record","fields":[{"type":"int","name":"x","order":"ascending"}]}"#,
                r#"{"type":"record","namespace":"a.b","name":"R","aliases":[],"fields":[{"name":"x","type":"int"}]}"#,
            ),
            (
                r#"{"type":"record","name":"n.A","fields":[{"name":"f","type":{"type":"fixed","name":"n.F","size":2}},{"name":"g","type":"n.F"}]}"#,
                r#"{"type":"record","name":"A","namespace":"n","fields":[{"name":"f","type":{"size":2,"type":"fixed","name":"F"}},{"name":"g","type":{"type":"F"}}]}"#,
            ),
            (r#"{"type":"long","z":1,"a":{"y":1,"x":2}}"#, r#"{"a":{"x":2,"y":1},"type":"long","z":1}"#),
        ];
        for (one, other) in same {
            assert_eq!(text(one), text(other), "{one}");
        }
    }

    #[test]
    fn what_says_something_else_is_another_schema() {
        let plain = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]}"#;
        for other in [
            r#"{"type":"record","name":"R","doc":"d","fields":[{"name":"x","type":"int"}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","doc":"d"}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","default":1}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","default":null}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","order":"ignore"}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int","aliases":["y"]}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":{"type":"int","custom":1}}]}"#,
            r#"{"type":"record","name":"n.R","fields":[{"name":"x","type":"int"}]}"#,
        ] {
            assert_ne!(text(plain), text(other), "{other}");
        }
    }

    #[test]
    fn the_canonical_text_is_its_own_canonical_text_and_is_small() {
        let schema = r#"{"namespace":"n","name":"R","type":"record","doc":"a \"doc\"","fields":[
            {"name":"e","type":{"type":"enum","name":"m.E","symbols":["A","B"],"default":"A"},"default":"B"},
            {"name":"g","type":["null","m.E",{"type":"map","values":{"type":"array","items":"R"}}],"default":null},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;
        let expected = concat!(
            r#"{"type":"record","name":"R","namespace":"n","doc":"a \"doc\"","fields":["#,
            r#"{"name":"e","type":{"type":"enum","name":"E","namespace":"m","symbols":["A","B"],"default":"A"},"default":"B"},"#,
            r#"{"name":"g","type":["null","m.E",{"type":"map","values":{"type":"array","items":"R"}}],"default":null},"#,
            r#"{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#
        );
        assert_eq!(text(schema).as_deref(), Ok(expected));
        assert_eq!(text(expected).as_deref(), Ok(expected));
    }

    #[test]
    fn a_type_without_namespace_is_referred_to_from_inside_one() {
        let schema = r#"["null",{"type":"record","name":"F","fields":[]},{"type":"record","name":"n.R","fields":[{"name":"f","type":".F"}]}]"#;
        let canonical = text(schema).expect("valid");
        assert!(canonical.contains(r#""type":".F""#), "{canonical}");
        apache_avro::Schema::parse_str(&canonical).expect("apache-avro reads it");
    }

    #[test]
    fn what_the_parser_lets_pass_is_refused() {
        for schema in [
            "[]",
            "1",
            r#"{"type":"record","name":"R","fields":[1]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":[],"default":null}]}"#,
            r#"[{"type":"fixed","name":"F","size":1},{"type":"record","name":"F","fields":[]}]"#,
            r#"[{"type":"fixed","name":"F","aliases":["G"],"size":1},{"type":"array","items":"G"}]"#,
            r#"{"type":"record","name":"R","aliases":"S","fields":[]}"#,
            r#"{"type":{"type":"long"},"logicalType":"timestamp-millis"}"#,
        ] {
            assert!(text(schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn defaults_that_unfold_without_end_are_refused() {
        let mut schemas = vec![r#"{"type":"record","name":"R0","fields":[]}"#.to_owned()];
        for level in 1..30 {
            let below = level - 1;
            schemas.push(format!(
                r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":"R{below}","default":{{}}}},{{"name":"b","type":"R{below}","default":{{}}}}]}}"#
            ));
        }
        let error = text(&format!("[{}]", schemas.join(","))).expect_err("2^29 records");
        assert!(error.contains("unfolds"), "{error}");
    }
}
