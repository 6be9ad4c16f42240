//! Lists to download: as CSV or as one JSON object per line, streamed from ClickHouse.

use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clickhouse::query::RowCursor;
use clickhouse::{RowOwned, RowRead};
use futures_util::{Stream, StreamExt, stream};

use super::parameters::values::{choice, flag};
use super::parameters::{Parameter, query};
use super::problem::Problem;
use crate::warehouse::client::WarehouseError;
use roundhouse_listener::accept;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// A JSON object per line.
    Ndjson,
}

query! {
    /// How to write a list.
    pub struct ListQuery {
        /// Format of the list. Without it, the `Accept` header decides; without both it is CSV
        pub format: Option<Format> = Format::parameter(),
        /// In CSV: put an apostrophe before each cell that a spreadsheet would read as a formula
        pub escape_formulas: bool = flag(),
    }
}

impl Format {
    pub(super) fn parameter() -> Parameter<Option<Self>> {
        choice([Self::Csv, Self::Ndjson].map(|format| (format.name(), format))).optional()
    }

    /// The format that the request names, else that of its `Accept` header.
    pub fn of(named: Option<Self>, headers: &HeaderMap) -> Self {
        named.unwrap_or_else(|| Self::accepted(headers))
    }

    fn accepted(headers: &HeaderMap) -> Self {
        let find = |kind: &str| match kind {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" | "text/*" | "*/*" => Some(Self::Csv),
            _ => None,
        };
        accept::preferred(headers, find).unwrap_or(Self::Csv)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Its name in a query, and the extension of a file.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// Pieces of a list.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, WarehouseError>> + Send>>;

/// Bytes of a piece.
const PIECE_BYTES: usize = 65_536;

/// Returns `start`, then the rows as `write` writes them, in pieces. Dropping it stops the query.
pub fn pieces<R>(
    cursor: RowCursor<R>,
    start: Vec<u8>,
    write: impl Fn(R, &mut Vec<u8>) + Send + 'static,
) -> Pieces
where
    R: RowOwned + RowRead + Send + 'static,
{
    Box::pin(stream::try_unfold((cursor, write, Some(start)), async |(mut cursor, write, start)| {
        let is_first = start.is_some();
        let mut piece = start.unwrap_or_default();
        while piece.len() < PIECE_BYTES {
            let Some(row) = cursor.next().await? else { break };
            write(row, &mut piece);
        }
        let is_end = piece.is_empty() && !is_first;
        Ok((!is_end).then(|| (Bytes::from(piece), (cursor, write, None))))
    }))
}

/// Answers with a list under a file name, after its first piece has arrived: until then, a failure of ClickHouse is an error response.
/// A list that breaks off later closes the connection, so that no client takes it for a complete one.
pub async fn respond(name: &str, format: Format, mut pieces: Pieces) -> Result<Response, Problem> {
    let first = pieces.next().await.transpose()?.unwrap_or_default();
    let rest = pieces.inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(%error, "a download failed");
        }
    });
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.name());
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Writes a CSV record (RFC 4180, comma, LF).
pub fn csv_record<'a>(fields: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    let mut first = true;
    for field in fields {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        if field.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
            out.push(b'"');
            out.extend(field.replace('"', "\"\"").bytes());
            out.push(b'"');
        } else {
            out.extend(field.bytes());
        }
    }
    out.push(b'\n');
}

/// What makes a spreadsheet read a cell as a formula, if the cell begins with it: the list of OWASP
/// (<https://owasp.org/www-community/attacks/CSV_Injection>), with the full-width forms of its signs, and NUL (ASVS 1.2.10).
const FORMULA_STARTS: [char; 12] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\0', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// The same for a query in which ClickHouse writes the list; empty if nothing is to be escaped.
pub fn formula_starts(escape_formulas: bool) -> String {
    FORMULA_STARTS.iter().filter(|_| escape_formulas).collect()
}

/// Puts an apostrophe before a text that a spreadsheet would read as a formula.
pub fn escape_formula(text: String) -> String {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_of_a_formula_gets_an_apostrophe() {
        for start in ["=", "+", "-", "@", "\t", "\r", "\n", "\r\n", "\0", "＝", "＋", "－", "＠"] {
            let formula = format!("{start}1+1");
            assert_eq!(escape_formula(formula.clone()), format!("'{formula}"), "{start:?}");
        }
        for text in ["", "1+1", "a=b", "'=1", " x", "日本"] {
            assert_eq!(escape_formula(text.to_owned()), text);
        }
    }
}
