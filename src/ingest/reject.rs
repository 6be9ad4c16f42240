//! Rows that are not accepted, and what is wrong with them.

use serde::Serialize;
use utoipa::ToSchema;

use super::records::shown;

/// What is wrong with a field of a row, or with the whole row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RejectFault)]
pub struct Fault {
    /// The column at fault; empty where it is the whole line.
    pub column: String,
    pub code: &'static str,
    /// The cause, and what to do.
    pub reason: String,
    /// The field's text, or the line's, cut after 200 characters.
    pub value: String,
    /// JSON Pointer of the value in the row, if the row is JSON. Empty: the row itself
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl Fault {
    /// A fault of a whole line, or row.
    pub(super) fn of_line(code: &'static str, reason: String, raw: &[u8]) -> Self {
        Self { column: String::new(), code, reason, value: shown(raw), pointer: None }
    }
}

/// A row that is not accepted. It counts once, under its first fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reject {
    /// Number of its line in the file, from 1.
    pub line: u64,
    /// Where its line begins in the file as it was sent (decompressed), in bytes from 0.
    pub byte_offset: u64,
    #[serde(flatten)]
    pub first: Fault,
    /// All faults of the row, at most one for each column.
    pub faults: Vec<Fault>,
}

impl Reject {
    /// A row with one fault; its byte offset is 0.
    pub fn of(line: u64, fault: Fault) -> Self {
        Self { line, byte_offset: 0, first: fault.clone(), faults: vec![fault] }
    }

    /// A row whose line is at fault as a whole; its byte offset is 0.
    pub fn of_line(line: u64, code: &'static str, reason: String, raw: &[u8]) -> Self {
        Self::of(line, Fault::of_line(code, reason, raw))
    }
}
