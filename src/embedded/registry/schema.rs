//! An Avro schema that was checked.

use std::sync::Arc;

use apache_avro::Schema;

use super::compatibility::{self, Level};
use super::{RegistryError, canonical};

/// A valid schema and the text by which it is known.
#[derive(Debug)]
pub(super) struct AvroSchema {
    /// Its canonical text: what is stored, compared and answered.
    pub(super) text: Arc<str>,
    pub(super) parsed: Schema,
}

impl AvroSchema {
    /// Parses a schema, and makes sure that it can be compared with others.
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
        let parsed = Self::read(&text)?;
        compatibility::conflicts(Level::Backward, &parsed, &parsed)?;
        Ok(Self { text: text.into(), parsed })
    }

    /// Parses a text that is canonical.
    pub(super) fn read(canonical: &str) -> Result<Schema, RegistryError> {
        Schema::parse_str(canonical).map_err(|error| {
            let reason = error.to_string();
            // Some of the parser's messages carry whole schemas.
            let reason = reason.char_indices().nth(300).map_or(reason.as_str(), |(end, _)| &reason[..end]);
            RegistryError::InvalidSchema(reason.to_owned())
        })
    }
}
