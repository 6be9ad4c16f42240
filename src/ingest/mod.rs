//! From the bytes of a CSV file to acknowledged Avro records.
//!
//! The pure part, without I/O, in the order of a byte's way: [`decode`] (any encoding to UTF-8), [`records`] (text to
//! CSV records), [`header`] and [`later_headers`] (which field is which column), [`validate`] (fields to values),
//! [`notation`] (which decimal mark the file has), [`avro`] (values to bytes); [`rows`] ties them together, for uploads and reconciliations alike. [`upload`] sends the rows of a file
//! to Kafka, from a [`body`].

pub mod avro;
pub mod body;
pub mod decode;
#[cfg(test)]
mod fuzz;
pub mod header;
pub mod later_headers;
pub mod notation;
pub mod offsets;
pub mod pace;
pub mod records;
pub mod rows;
pub mod upload;
pub mod validate;

use thiserror::Error;

use self::notation::DecimalComma;

/// Why a file cannot be read on: nothing about a single row, which is a [`rows::Reject`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FileError {
    #[error("this is {found}, not CSV text: {remedy}")]
    NotText { found: &'static str, remedy: &'static str },
    #[error(
        "this is a multipart form, not CSV text; send it as multipart/form-data with its boundary, or send the CSV file itself"
    )]
    IsForm,
    #[error("the file is empty: its first line must name the columns {expected}")]
    Empty { expected: String },
    #[error("the first line is not a header of comma, semicolon or tab separated names: {line:?}")]
    NotCsv { line: String },
    #[error(
        "the first line is not text in {encoding}: say what it is in with ?encoding=, if this is a CSV file"
    )]
    NotDecodable { encoding: &'static str },
    #[error(
        "the header lacks {}: it has {}; rename or add what is missing, and send the file again",
        .missing.join(", "), .found.join(", ")
    )]
    MissingColumns { missing: Vec<String>, found: Vec<String> },
    #[error("the header names {name} twice: rename one of the two, and send the file again")]
    DuplicateColumn { name: String },
    #[error("the header has {found} columns: at most {limit} are read")]
    TooManyColumns { found: usize, limit: usize },
    #[error("line {line} is a second header, which cannot be used: {reason}")]
    HeaderChanged { line: u64, reason: String },
    #[error("{0}")]
    DecimalComma(Box<DecimalComma>),
    #[error("line {line} is longer than {limit} bytes: perhaps a quote is not closed")]
    LineTooLong { line: u64, limit: usize },
}

impl FileError {
    /// Stable: what the API and the ledger call it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotText { .. } => "not_text",
            Self::IsForm => "bad_form",
            Self::Empty { .. } => "empty_file",
            Self::NotCsv { .. } => "not_csv",
            Self::NotDecodable { .. } => "not_decodable",
            Self::MissingColumns { .. } => "missing_columns",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::HeaderChanged { .. } => "header_changed",
            Self::DecimalComma(_) => "decimal_comma",
            Self::LineTooLong { .. } => "line_too_long",
        }
    }
}
