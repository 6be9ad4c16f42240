//! The canonical text of an Avro schema: two schemas are the same if their canonical texts are the same.
//!
//! As in Confluent's registry, it keeps everything that a schema says (docs, defaults, aliases, custom attributes) and drops the way it was
//! written: whitespace, the order of attributes, `{"type": "long"}` for `"long"`, full names instead of a name and a namespace. It also
//! refuses errors that the parser of `apache-avro` accepts: names that are defined twice, references through an alias, fields that are not
//! objects, empty unions, and defaults that expand to an enormous size.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// Limit for the steps that the parser needs to check the defaults of a schema. `"default": {}` for a record stands for the defaults of its
/// fields, and so on, and each union on the way is checked three times: thirty short lines can require a billion steps.
const MAX_DEFAULT_STEPS: u64 = 500_000;

/// Limit for nested records in one default, because the parser is recursive.
const MAX_DEFAULT_DEPTH: u32 = 100;

/// Limit for the named types of a schema. They may refer to each other in a chain, which the parser and its messages follow recursively.
const MAX_NAMED_TYPES: usize = 1_000;

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Returns the canonical text of a schema.
///
/// # Errors
/// The text says briefly what is wrong with the schema.
pub(super) fn canonical(schema: &Value) -> Result<String, String> {
    let mut canonicalizer = Canonicalizer::default();
    canonicalizer.schema(schema, "")?;
    Ok(canonicalizer.text)
}

/// The effort of checking a default of a type.
#[derive(Clone, Copy, Default)]
struct Unfolded {
    /// Number of fields in a value whose fields all have their defaults.
    fields: u64,
    /// Nesting depth of records in that value.
    depth: u32,
    /// Nesting depth of unions in the type.
    unions: u32,
}

impl Unfolded {
    /// Combines it with a sibling.
    fn and_sibling(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            depth: self.depth.max(other.depth),
            unions: self.unions.max(other.unions),
        }
    }
}

#[derive(Default)]
struct Canonicalizer {
    text: String,
    /// The full names that are defined so far.
    names: HashMap<String, Unfolded>,
    /// Steps for all defaults so far.
    default_steps: u64,
}

impl Canonicalizer {
    /// Writes any schema. `serde_json` limits the depth of the JSON, and with it this recursion.
    fn schema(&mut self, schema: &Value, namespace: &str) -> Result<Unfolded, String> {
        match schema {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(attributes) => self.object(attributes, namespace),
            other => Err(format!("a schema must be a string, an object or an array, not {}", excerpt(other))),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<Unfolded, String> {
        if PRIMITIVES.contains(&name) {
            self.string(name);
            return Ok(Unfolded::default());
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
            return Err("a union must have at least one branch".to_owned());
        }
        let mut unfolded = Unfolded::default();
        self.text.push('[');
        for (position, branch) in branches.iter().enumerate() {
            self.comma(position);
            unfolded = unfolded.and_sibling(self.schema(branch, namespace)?);
        }
        self.text.push(']');
        unfolded.unions += 1;
        Ok(unfolded)
    }

    fn object(&mut self, attributes: &Map<String, Value>, namespace: &str) -> Result<Unfolded, String> {
        let kind = attributes.get("type").ok_or("a schema has no \"type\"")?;
        let Value::String(kind) = kind else {
            // {"type": {…}} stands for the inner schema; further attributes would have no meaning.
            return match attributes.len() {
                1 => self.schema(kind, namespace),
                _ => Err("there are attributes next to a nested \"type\"; move them into the inner object"
                    .to_owned()),
            };
        };
        match kind.as_str() {
            "record" => self.record(attributes, namespace),
            "enum" => {
                self.definition(attributes, "enum", namespace)?;
                self.attribute("symbols", attributes.get("symbols").ok_or("an enum has no \"symbols\"")?);
                self.rest(attributes, &["type", "name", "namespace", "doc", "symbols", "aliases"]);
                Ok(Unfolded::default())
            }
            "fixed" => {
                self.definition(attributes, "fixed", namespace)?;
                self.attribute("size", attributes.get("size").ok_or("a fixed has no \"size\"")?);
                self.rest(attributes, &["type", "name", "namespace", "doc", "size", "aliases"]);
                Ok(Unfolded::default())
            }
            "array" => self.container(attributes, "array", "items", namespace),
            "map" => self.container(attributes, "map", "values", namespace),
            primitive if PRIMITIVES.contains(&primitive) && attributes.len() > 1 => {
                self.text.push_str("{\"type\":");
                self.string(primitive);
                self.rest(attributes, &["type"]);
                Ok(Unfolded::default())
            }
            // A reference ignores the other attributes of the object around it.
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
        let inner = attributes.get(content).ok_or_else(|| format!("{kind} has no \"{content}\""))?;
        let _ = write!(self.text, "{{\"type\":\"{kind}\",\"{content}\":");
        let unfolded = self.schema(inner, namespace)?;
        self.rest(attributes, &["type", content]);
        Ok(unfolded)
    }

    fn record(&mut self, attributes: &Map<String, Value>, namespace: &str) -> Result<Unfolded, String> {
        let full = self.definition(attributes, "record", namespace)?;
        let Some(Value::Array(fields)) = attributes.get("fields") else {
            return Err(format!("record {} has no \"fields\"", short(&full)));
        };
        let (namespace, _) = split(&full);
        let mut unfolded = Unfolded { fields: 1, ..Unfolded::default() };
        self.text.push_str(",\"fields\":[");
        for (position, field) in fields.iter().enumerate() {
            self.comma(position);
            unfolded = unfolded.and_sibling(self.field(field, &full, namespace)?);
        }
        unfolded.depth += 1;
        self.text.push(']');
        self.rest(attributes, &["type", "name", "namespace", "doc", "fields", "aliases"]);
        self.names.insert(full, unfolded);
        Ok(unfolded)
    }

    /// Writes a field. Returns the effort of checking it and its default.
    fn field(&mut self, field: &Value, record: &str, namespace: &str) -> Result<Unfolded, String> {
        let Value::Object(attributes) = field else {
            return Err(format!("a field of {} is not an object", short(record)));
        };
        let name = text_attribute(attributes, "name")?
            .ok_or_else(|| format!("a field of {} has no \"name\"", short(record)))?;
        let kind = attributes.get("type").ok_or_else(|| format!("field {} has no \"type\"", short(name)))?;
        self.text.push_str("{\"name\":");
        self.string(name);
        self.text.push_str(",\"type\":");
        let inner = self.schema(kind, namespace)?;
        self.doc(attributes)?;
        let mut unfolded = Unfolded { fields: 1, depth: 0, unions: inner.unions };
        if let Some(default) = attributes.get("default") {
            unfolded = self.unfold(inner, default).ok_or_else(|| {
                format!("checking the default of field {} takes too many steps", short(name))
            })?;
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

    /// Returns the effort of checking a default of a type, or none if it exceeds the limits.
    fn unfold(&mut self, inner: Unfolded, default: &Value) -> Option<Unfolded> {
        let Shape { objects, nodes, nesting } = Shape::of(default);
        if nesting == 0 {
            return Some(Unfolded { fields: 1, depth: 0, unions: inner.unions });
        }
        let fields = inner.fields.saturating_mul(objects).saturating_add(nodes);
        let steps = 3_u64.saturating_pow(inner.unions.saturating_mul(nesting)).saturating_mul(fields);
        self.default_steps = self.default_steps.saturating_add(steps);
        let within = self.default_steps <= MAX_DEFAULT_STEPS && inner.depth <= MAX_DEFAULT_DEPTH;
        within.then_some(Unfolded { fields, ..inner })
    }

    /// Writes the start of a named type. Returns its full name.
    fn definition(
        &mut self,
        attributes: &Map<String, Value>,
        kind: &str,
        enclosing: &str,
    ) -> Result<String, String> {
        let name = text_attribute(attributes, "name")?.ok_or_else(|| format!("{kind} has no \"name\""))?;
        let namespace = text_attribute(attributes, "namespace")?.unwrap_or(enclosing);
        let full = full_name(name, namespace);
        if self.names.insert(full.clone(), Unfolded::default()).is_some() {
            return Err(format!("{} is defined twice", short(&full)));
        }
        if self.names.len() > MAX_NAMED_TYPES {
            return Err(format!("the schema has more than {MAX_NAMED_TYPES} named types"));
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
            Some(other) => Err(format!("\"aliases\" must be an array of strings, not {}", excerpt(other))),
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

/// Returns the full name. A name with a dot contains its own namespace.
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
        Some(other) => Err(format!("\"{key}\" must be a string, not {}", excerpt(other))),
    }
}

/// The size of a default value.
struct Shape {
    /// Number of objects. Each may stand for a record whose other fields have their defaults.
    objects: u64,
    nodes: u64,
    /// Nesting depth of objects and arrays. An empty array counts as a scalar.
    nesting: u32,
}

impl Shape {
    fn of(value: &Value) -> Self {
        match value {
            Value::Object(members) => Self::around(1, members.values()),
            Value::Array(items) if !items.is_empty() => Self::around(0, items.iter()),
            _ => Self { objects: 0, nodes: 1, nesting: 0 },
        }
    }

    fn around<'a>(objects: u64, inner: impl Iterator<Item = &'a Value>) -> Self {
        inner.map(Self::of).fold(Self { objects, nodes: 1, nesting: 1 }, |sum, inner| Self {
            objects: sum.objects + inner.objects,
            nodes: sum.nodes + inner.nodes,
            nesting: sum.nesting.max(inner.nesting + 1),
        })
    }
}

fn excerpt(value: &Value) -> String {
    short(&value.to_string())
}

/// Shortens a text for an error message.
fn short(text: &str) -> String {
    const LENGTH: usize = 80;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn text(schema: &str) -> Result<String, String> {
        canonical(&serde_json::from_str(schema).expect("JSON"))
    }

    #[test]
    fn different_spellings_of_a_schema_are_the_same_schema() {
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
    fn schemas_that_differ_in_meaning_are_different() {
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
    fn the_canonical_text_is_short_and_is_its_own_canonical_text() {
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
    fn a_type_without_a_namespace_can_be_referred_to_from_within_a_namespace() {
        let schema = r#"["null",{"type":"record","name":"F","fields":[]},{"type":"record","name":"n.R","fields":[{"name":"f","type":".F"}]}]"#;
        let canonical = text(schema).expect("valid");
        assert!(canonical.contains(r#""type":".F""#), "{canonical}");
        apache_avro::Schema::parse_str(&canonical).expect("apache-avro reads it");
    }

    #[test]
    fn errors_that_the_parser_accepts_are_refused() {
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

    /// Returns a chain of types, each with fields of the previous type.
    pub(crate) fn chain(length: u32, fields: &str) -> Result<String, String> {
        let mut types = vec![r#"{"type":"record","name":"R0","fields":[]}"#.to_owned()];
        for level in 1..=length {
            let fields = fields.replace("BELOW", &format!("R{}", level - 1));
            types.push(format!(r#"{{"type":"record","name":"R{level}","fields":[{fields}]}}"#));
        }
        text(&format!("[{}]", types.join(",")))
    }

    /// Returns a schema with one type fewer than the limit, and the name of the last type.
    pub(crate) fn longest_chain() -> (String, String) {
        let length = MAX_NAMED_TYPES as u32 - 2;
        let schema = chain(length, r#"{"name":"a","type":"BELOW"}"#).expect("within the limit");
        (schema, format!("R{length}"))
    }

    #[test]
    fn defaults_that_expand_to_an_enormous_size_are_refused() {
        let twice = r#"{"name":"a","type":"BELOW","default":{}},{"name":"b","type":"BELOW","default":{}}"#;
        let union = r#"{"name":"a","type":["BELOW","null"],"default":{}}"#;
        for fields in [twice, union] {
            chain(5, fields).expect("within the limit");
            assert!(chain(30, fields).expect_err("2^30 steps").contains("too many steps"));
        }
        let list = |depth: usize| {
            let default = format!("{}null{}", r#"{"next":"#.repeat(depth), "}".repeat(depth));
            text(&format!(
                r#"[{{"type":"record","name":"L","fields":[{{"name":"next","type":["null","L"]}}]}},
                    {{"type":"record","name":"R","fields":[{{"name":"l","type":"L","default":{default}}}]}}]"#
            ))
        };
        list(5).expect("within the limit");
        assert!(list(40).is_err());
    }

    #[test]
    fn many_defaults_of_a_wide_record_are_refused() {
        let wide: Vec<String> =
            (0..2_000).map(|field| format!(r#"{{"name":"w{field}","type":"int","default":0}}"#)).collect();
        let wide = format!(r#"{{"type":"record","name":"Wide","fields":[{}]}}"#, wide.join(","));
        let with = |count: usize| {
            let mut fields = vec![format!(r#"{{"name":"first","type":{wide}}}"#)];
            fields.extend(
                (0..count).map(|field| format!(r#"{{"name":"f{field}","type":"Wide","default":{{}}}}"#)),
            );
            text(&format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(",")))
        };
        with(200).expect("within the limit");
        assert!(with(300).is_err());
    }

    #[test]
    fn the_number_of_named_types_is_limited() {
        longest_chain();
        assert!(chain(MAX_NAMED_TYPES as u32, r#"{"name":"a","type":"long"}"#).is_err());
    }
}
