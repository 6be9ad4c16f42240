//! From the bytes of a CSV or JSON file to acknowledged Avro records.
//!
//! The pure part, without I/O, in the order in which it sees a byte: [`parts`] (files that were joined), [`decode`] (any encoding to UTF-8),
//! [`records`] (text to CSV records), [`header`], [`later_headers`] and [`column_names`] (which field is which column), [`row_ends`] and `cuts`
//! (how many fields a row has), [`validate`] (fields to values), [`notation`] (which decimal mark the file has). [`rows`] connects them, for
//! uploads and reconciliations alike, and with [`json`] for files of JSON. [`upload`] sends the rows of a file to Kafka, from a [`body`], as Avro ([`crate::wire::avro`]).

pub mod body;
pub mod column_names;
mod cuts;
pub mod decode;
mod filled;
pub mod first_rows;
pub mod format;
#[cfg(test)]
mod fuzz;
pub mod header;
mod json;
pub mod later_headers;
pub mod missing_columns;
pub mod notation;
pub mod offsets;
pub mod pace;
pub mod parts;
pub mod records;
pub mod reject;
pub mod row_ends;
pub mod rows;
pub mod separator_line;
pub mod upload;
pub mod validate;

use thiserror::Error;

use self::missing_columns::MissingColumns;
use self::notation::DecimalComma;
use crate::counted::counted;

/// Why reading a file stops. What is wrong with a single row is a [`reject::Reject`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FileError {
    #[error("this is {found}, not CSV text: {remedy}")]
    NotText { found: &'static str, remedy: &'static str },
    #[error(
        "this is a multipart form, not CSV text; send it as multipart/form-data with its boundary, or send the CSV file itself"
    )]
    IsForm,
    #[error("the file is empty; its first line must be a header with the columns {expected}")]
    Empty { expected: String },
    #[error(
        "the first line is not a header with the columns {expected}; found: {line:?}; name the columns in the first line, \
         separated by commas, semicolons or tabs, or put a line sep=DELIMITER before it"
    )]
    NotCsv { line: String, expected: String },
    #[error(
        "the first line is not text in {encoding}; if this is a CSV file, say how it is encoded, such as with encoding=windows-1252"
    )]
    NotDecodable { encoding: &'static str },
    #[error(
        "{} {named}, but the bytes are {found}; {}",
        if *.is_mark { "the byte order mark is that of" } else { "the parameter encoding says" },
        if *.is_mark { "remove the byte order mark, or save the file again" } else { "leave the parameter out: the encoding is then found from the bytes" }
    )]
    WrongEncoding { named: &'static str, is_mark: bool, found: &'static str },
    #[error(
        "line {line}, from byte {byte_offset} on, is {found}, and the file is {before} before it; files of different encodings were joined: \
         send each by itself, or convert them to one encoding and join them again"
    )]
    EncodingChanged { line: u64, byte_offset: u64, before: &'static str, found: &'static str },
    #[error(
        "the file is not JSON; found: {line:?}; send one object on each line (NDJSON) or an array of objects, or send CSV as text/csv"
    )]
    NotJson { line: String },
    #[error("{0}")]
    MissingColumns(Box<MissingColumns>),
    #[error(
        "the header has {name} twice: field {} ({:?}) and field {} ({:?}); rename or remove one of them",
        .found[0].0, .found[0].1, .found[1].0, .found[1].1
    )]
    DuplicateColumn {
        name: String,
        /// Position, from 1, and name of both fields.
        found: [(usize, String); 2],
    },
    #[error("too many columns: {found} (the limit is {limit})")]
    TooManyColumns { found: usize, limit: usize },
    #[error("line {line} is a second header, which cannot be used: {reason}")]
    HeaderChanged { line: u64, reason: String },
    #[error("{0}")]
    DecimalComma(Box<DecimalComma>),
    #[error("line {line} is longer than {}; perhaps a quote is not closed", counted(*limit as u64, "byte"))]
    LineTooLong { line: u64, limit: usize },
}

impl FileError {
    /// The code in answers and in the ledger; it is stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotText { .. } => "not_text",
            Self::IsForm => "bad_form",
            Self::Empty { .. } => "empty_file",
            Self::NotCsv { .. } => "not_csv",
            Self::NotJson { .. } => "not_json",
            Self::NotDecodable { .. } | Self::WrongEncoding { .. } => "not_decodable",
            Self::EncodingChanged { .. } => "encoding_changed",
            Self::MissingColumns(_) => "missing_columns",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::HeaderChanged { .. } => "header_changed",
            Self::DecimalComma(_) => "decimal_comma",
            Self::LineTooLong { .. } => "line_too_long",
        }
    }
}
