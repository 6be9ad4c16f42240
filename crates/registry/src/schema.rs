//! A checked Avro schema.

use std::sync::Arc;
use std::thread;

use apache_avro::Schema;

use super::compatibility::{self, Level};
use super::{RegistryError, canonical};

/// Stack size of the thread that parses clients' schemas. The parser is recursive, most of all in its error messages: the message about an
/// invalid default follows the field's type through everything that it refers to.
const PARSER_STACK_BYTES: usize = 32 << 20;

/// A valid schema and its canonical text.
#[derive(Debug)]
pub(super) struct AvroSchema {
    /// The canonical text: it is stored, compared and returned.
    pub(super) text: Arc<str>,
    pub(super) parsed: Schema,
}

impl AvroSchema {
    /// Parses a client's schema, and makes sure that it can be compared with others.
    ///
    /// # Errors
    /// The text is not an Avro schema, or the schema is too complex.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        if text.trim().is_empty() {
            return Err(RegistryError::InvalidSchema("the schema is empty".to_owned()));
        }
        let value = serde_json::from_str(text)
            .map_err(|error| RegistryError::InvalidSchema(format!("not JSON: {error}")))?;
        let text = canonical::canonical(&value).map_err(RegistryError::InvalidSchema)?;
        let parsed = on_large_stack(|| Self::read(&text), PARSER_STACK_BYTES)?;
        compatibility::conflicts(Level::Backward, &parsed, &parsed)?;
        Ok(Self { text: text.into(), parsed })
    }

    /// Parses a canonical text that was checked before.
    pub(super) fn read(canonical: &str) -> Result<Schema, RegistryError> {
        Schema::parse_str(canonical).map_err(|error| {
            // Some messages of the parser contain whole schemas.
            RegistryError::InvalidSchema(error.to_string().chars().take(300).collect())
        })
    }
}

/// Runs recursive work on its own thread. A panic there becomes an error here.
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
    use crate::canonical::tests::{chain, longest_chain};

    #[test]
    fn the_longest_chain_of_types_in_an_error_message_needs_less_than_half_of_the_stack() {
        let (longest, name) = longest_chain();
        // The parser's message about this default contains the whole chain.
        let wrong = format!(
            r#"{},{{"type":"record","name":"Last","fields":[{{"name":"l","type":"{name}","default":7}}]}}]"#,
            longest.trim_end_matches(']'),
        );
        let refused = on_large_stack(|| AvroSchema::read(&wrong), PARSER_STACK_BYTES / 2);
        assert!(matches!(refused, Err(RegistryError::InvalidSchema(_))));
    }

    /// Stored schemas are parsed on threads of the runtime, which have 2 MiB of stack.
    #[test]
    fn the_largest_valid_schemas_need_less_than_half_of_an_ordinary_stack() {
        let deepest =
            (1..200).map_while(|length| chain(length, r#"{"name":"a","type":"BELOW","default":{}}"#).ok());
        let union = r#"{"name":"a","type":["BELOW","null"],"default":{}}"#;
        let largest = (1..200).map_while(|length| chain(length, union).ok());
        for schema in [longest_chain().0, deepest.last().expect("one"), largest.last().expect("one")] {
            on_large_stack(|| AvroSchema::read(&schema), 1 << 20).expect("valid");
        }
    }
}
