//! An Avro schema that was checked.

use std::sync::Arc;
use std::thread;

use apache_avro::Schema;

use super::compatibility::{self, Level};
use super::{RegistryError, canonical};

/// Stack of the thread that parses what a client sent. The parser is recursive, and most so in its complaints: one
/// about a wrong default follows the field's type through all that it refers to.
const PARSER_STACK_BYTES: usize = 32 << 20;

/// A valid schema and the text by which it is known.
#[derive(Debug)]
pub(super) struct AvroSchema {
    /// Its canonical text: what is stored, compared and answered.
    pub(super) text: Arc<str>,
    pub(super) parsed: Schema,
}

impl AvroSchema {
    /// Parses a schema from anywhere, and makes sure that it can be compared with others.
    ///
    /// # Errors
    /// It is no Avro schema, or too complex.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        if text.trim().is_empty() {
            return Err(RegistryError::InvalidSchema("it is empty".to_owned()));
        }
        let value = serde_json::from_str(text)
            .map_err(|error| RegistryError::InvalidSchema(format!("not JSON: {error}")))?;
        let text = canonical::canonical(&value).map_err(RegistryError::InvalidSchema)?;
        let parsed = on_large_stack(|| Self::read(&text), PARSER_STACK_BYTES)?;
        compatibility::conflicts(Level::Backward, &parsed, &parsed)?;
        Ok(Self { text: text.into(), parsed })
    }

    /// Parses a canonical text that was found valid before.
    pub(super) fn read(canonical: &str) -> Result<Schema, RegistryError> {
        Schema::parse_str(canonical).map_err(|error| {
            // Some of the parser's messages carry whole schemas.
            RegistryError::InvalidSchema(error.to_string().chars().take(300).collect())
        })
    }
}

/// Does work that recurses on a thread of its own; a panic there is an error here.
fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send,
    stack: usize,
) -> Result<T, RegistryError> {
    thread::scope(|scope| {
        let parser = thread::Builder::new().name("avro".to_owned()).stack_size(stack);
        let parser = parser.spawn_scoped(scope, work).map_err(|error| {
            tracing::error!(%error, "cannot start a thread for a parser");
            RegistryError::Internal
        })?;
        parser.join().unwrap_or(Err(RegistryError::Internal))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::registry::canonical::tests::{chain, longest_chain};

    #[test]
    fn the_longest_chain_of_types_in_a_complaint_takes_less_than_half_of_the_stack() {
        let (longest, name) = longest_chain();
        // The parser's complaint about this default holds the whole chain.
        let wrong = format!(
            r#"{},{{"type":"record","name":"Last","fields":[{{"name":"l","type":"{name}","default":7}}]}}]"#,
            longest.trim_end_matches(']'),
        );
        let refused = on_large_stack(|| AvroSchema::read(&wrong), PARSER_STACK_BYTES / 2);
        assert!(matches!(refused, Err(RegistryError::InvalidSchema(_))));
    }

    /// Stored schemas are read on threads of the runtime, which have 2 MiB.
    #[test]
    fn the_largest_valid_schemas_take_less_than_half_of_an_ordinary_stack() {
        let deepest =
            (1..200).map_while(|length| chain(length, r#"{"name":"a","type":"BELOW","default":{}}"#).ok());
        let union = r#"{"name":"a","type":["BELOW","null"],"default":{}}"#;
        let largest = (1..200).map_while(|length| chain(length, union).ok());
        for schema in [longest_chain().0, deepest.last().expect("one"), largest.last().expect("one")] {
            on_large_stack(|| AvroSchema::read(&schema), 1 << 20).expect("valid");
        }
    }
}
