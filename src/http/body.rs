//! Request bodies that are files: plain, compressed, or as parts of a form.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;

use super::form::{Form, FormError, NoFile};
use super::problem::Problem;
use crate::ingest::body::BodyError;
use crate::ingest::format::FileFormat;
use roundhouse_listener::content::{coding, content_type, media_type};

/// Bytes that a decompressor returns at once.
const DECOMPRESSED_PIECE_BYTES: usize = 65_536;

/// The largest window of a zstd frame, as a power of two: the 8 MiB that every HTTP decoder must support
/// (<https://www.rfc-editor.org/rfc/rfc9659#section-3>).
const ZSTD_WINDOW_LOG: u32 = 23;

/// The type that curl gives a body by itself.
const URL_ENCODED: &str = "application/x-www-form-urlencoded";

/// Whether the request is a form, by its `Content-Type`.
pub fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "multipart/form-data"
}

/// Says more about a file that cannot be read if the request's `Content-Type` shows why.
pub fn explained(problem: Problem, headers: &HeaderMap) -> Problem {
    let content_type = content_type(headers);
    match problem.code() {
        "bad_form" => {
            let sent = match content_type {
                "" => "without a Content-Type".to_owned(),
                other => format!("as {other}"),
            };
            let detail = format!(
                "the body is a multipart form, but it was sent {sent}; do not set Content-Type yourself (the HTTP client sets \
                 multipart/form-data with the boundary), or send the CSV file itself as the body"
            );
            problem.saying(detail)
        }
        // What `curl -d @file` sends.
        "not_csv" | "missing_columns" | "line_too_long" if content_type.starts_with(URL_ENCODED) => {
            let detail = format!(
                "{}; the body was sent as {URL_ENCODED}: curl -d removes line breaks, use curl -F file=@rounds.csv or --data-binary",
                problem.detail()
            );
            problem.saying(detail)
        }
        _ => problem,
    }
}

/// How the rows of a body are written: as `Content-Type` says, otherwise as their first character shows.
pub fn file_format(headers: &HeaderMap) -> FileFormat {
    FileFormat::of_media_type(content_type(headers)).unwrap_or(FileFormat::Any)
}

/// Begins to read a form.
///
/// # Errors
/// It is compressed, or `Content-Type` has no boundary.
pub fn read_form(request: Request) -> Result<Form, Problem> {
    if coding(request.headers()).is_some() {
        let detail = "a form cannot be compressed; send the compressed file as the body of the request \
                      (curl --data-binary @FILE -H 'Content-Encoding: gzip')";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed_form", detail));
    }
    let content_type = content_type(request.headers()).to_owned();
    Ok(Form::new(&content_type, request.into_body().into_data_stream())?)
}

/// Goes on to the next file of a form, unless the server stops; returns its name.
///
/// # Errors
/// The rest of the form cannot be read, or the server is stopping.
pub async fn next_file(form: &mut Form, stopping: &CancellationToken) -> Result<Option<String>, Problem> {
    let name = stopping.run_until_cancelled(form.next_file()).await;
    Ok(name.ok_or_else(Problem::stopping)??)
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::TooLarge => Self::new(StatusCode::BAD_REQUEST, "form_too_large", error.to_string()),
            FormError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", error.to_string()),
            FormError::NoBoundary | FormError::NotAForm => {
                Self::new(StatusCode::BAD_REQUEST, "bad_form", error.to_string())
            }
            FormError::Incomplete | FormError::Malformed | FormError::Broken(_) => {
                let detail = format!("{error}; send it again, no row is counted twice");
                Self::new(StatusCode::BAD_REQUEST, "bad_form", detail)
            }
        }
    }
}

impl From<&NoFile> for Problem {
    fn from(no_file: &NoFile) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "no_file", no_file.to_string())
    }
}

/// Decompresses a body. The limit on its size (`max_bytes`) counts decompressed bytes.
///
/// # Errors
/// `Content-Encoding` is not supported, or `Content-Length` of an uncompressed body is over the limit.
pub fn decompressed(
    headers: &HeaderMap,
    body: Body,
    max_bytes: u64,
) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Problem> {
    let body = body.into_data_stream().map_err(std::io::Error::other);
    let piece = DECOMPRESSED_PIECE_BYTES;
    match coding(headers).as_deref() {
        None if announced(headers) > max_bytes => Err(BodyError::TooLarge { limit: max_bytes }.into()),
        None => Ok(body.boxed()),
        Some("gzip" | "x-gzip") => {
            let mut decoder = GzipDecoder::new(StreamReader::new(body));
            decoder.multiple_members(true);
            Ok(ReaderStream::with_capacity(decoder, piece).map_err(|error| damaged("gzip", error)).boxed())
        }
        Some("zstd") => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
            let mut decoder = ZstdDecoder::with_params(StreamReader::new(body), &[window]);
            decoder.multiple_members(true);
            Ok(ReaderStream::with_capacity(decoder, piece).map_err(|error| damaged("zstd", error)).boxed())
        }
        Some(other) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            format!("Content-Encoding {other:?} is not supported; use gzip, zstd or none"),
        )),
    }
}

/// The `Content-Length` of a body; 0 if it has none.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// Says that the body is damaged, unless the transport failed.
fn damaged(encoding: &str, error: std::io::Error) -> std::io::Error {
    let is_of_transport = error.get_ref().is_some_and(|inner| inner.is::<axum::Error>());
    if is_of_transport || error.kind() == std::io::ErrorKind::UnexpectedEof {
        return error;
    }
    let reason = format!("the body is damaged, or not {encoding} as Content-Encoding says ({error})");
    std::io::Error::new(error.kind(), reason)
}
