//! The members of JSON objects, also those of inner objects.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep inner objects are looked at.
const MAX_DEPTH: usize = 16;

/// Calls `see` with the place of each value that is no object, and with its text. Null is a value.
///
/// # Errors
/// It is not an object in JSON.
pub(super) fn members(object: &str, see: &mut impl FnMut(&[String], &str)) -> Result<(), serde_json::Error> {
    walk(object, &mut Vec::new(), see)
}

fn walk(
    object: &str,
    place: &mut Vec<String>,
    see: &mut impl FnMut(&[String], &str),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let pairs = deserializer.deserialize_map(Pairs)?;
    deserializer.end()?;
    for (name, raw) in pairs {
        place.push(name);
        match raw.get().as_bytes().first() {
            Some(b'{') if place.len() < MAX_DEPTH => walk(raw.get(), place, see)?,
            _ => see(place, raw.get()),
        }
        place.pop();
    }
    Ok(())
}

/// Reads the members of an object, in their order.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_seen_with_their_places_in_their_order() {
        let mut seen = Vec::new();
        let object = r#"{ "b": { "x": 1.50, "y": { "z": null } }, "a": "t", "l": [1], "e": {} }"#;
        members(object, &mut |place, raw| seen.push((place.join("/"), raw.to_owned()))).unwrap();
        let expected = [("b/x", "1.50"), ("b/y/z", "null"), ("a", "\"t\""), ("l", "[1]")];
        assert_eq!(seen, expected.map(|(place, raw)| (place.to_owned(), raw.to_owned())));
        assert!(members("[1]", &mut |_, _| {}).is_err());
        assert!(members("{", &mut |_, _| {}).is_err());
    }
}
