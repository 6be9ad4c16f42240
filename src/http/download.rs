//! Lists that are downloaded: as CSV or as a JSON object per line, streamed from ClickHouse.

use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clickhouse::query::RowCursor;
use clickhouse::{RowOwned, RowRead};
use futures_util::{Stream, StreamExt, stream};

use super::accept;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::warehouse::client::WarehouseError;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// A JSON object per line.
    Ndjson,
}

impl Format {
    /// Takes the parameter `format`; without it the `Accept` header decides, and without that it is CSV.
    pub fn of_request(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Self, Problem> {
        match parameters.one("format")?.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson") => Ok(Self::Ndjson),
            Some(_) => Err(Problem::must_be("format", "csv or ndjson")),
            None => Ok(Self::accepted(headers)),
        }
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

    fn extension(self) -> &'static str {
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

/// Makes pieces of `start` and of the rows as `write` writes them. Dropped, the query is stopped.
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

/// Answers a list under a file name, once its first piece is there: before that, ClickHouse can still be said not to answer.
/// A list that breaks off later breaks the connection off, so that nobody takes it for a whole one.
pub async fn respond(name: &str, format: Format, mut pieces: Pieces) -> Result<Response, Problem> {
    let first = pieces.next().await.transpose()?.unwrap_or_default();
    let rest = pieces.inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(%error, "a download broke off");
        }
    });
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.extension());
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Makes a record of CSV (RFC 4180, comma, LF).
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

/// Puts an apostrophe before a text that a spreadsheet would take for a formula.
pub fn escape_formula(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}
