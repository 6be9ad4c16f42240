//! The text of a schema as parts that know their lines.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::ColumnsError;

/// The members of a JSON object, as they are written.
pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// A text, and where its parts are in it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    /// Returns the line on which a part of the text begins, from 1.
    pub(super) fn line_of(self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.0.as_ptr() as usize);
        1 + self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// A mistake in a part of the text. `message`: the cause; what to do.
    pub(super) fn fault(self, part: &str, message: impl Into<String>) -> ColumnsError {
        ColumnsError { line: self.line_of(part), message: message.into() }
    }

    /// Reads the members of an object that is a part of the text.
    ///
    /// # Errors
    /// It is not an object.
    pub(super) fn members(self, part: &'a str) -> Result<Members<'a>, ColumnsError> {
        serde_json::from_str(part).map_err(|_| self.fault(part, "not a JSON object; write { … }"))
    }

    /// Reads the elements of an array that is a part of the text.
    ///
    /// # Errors
    /// It is not an array.
    pub(super) fn elements(self, part: &'a str) -> Result<Vec<&'a RawValue>, ColumnsError> {
        serde_json::from_str(part).map_err(|_| self.fault(part, "not a JSON array; write [ … ]"))
    }
}
