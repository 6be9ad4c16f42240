//! Bodies that are files: as they are or compressed, or as parts of a form.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use encoding_rs::Encoding;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;

use super::form::{Form, FormError};
use super::parameters::Parameters;
use super::problem::Problem;
use crate::domain::decimal_mark::DecimalMark;
use crate::ingest::body::BodyError;
use crate::ingest::rows::ReadOptions;

/// Bytes of a piece that comes out of a decompressor.
const DECOMPRESSED_PIECE_BYTES: usize = 65_536;

/// The largest window that a zstd frame may ask memory for, as a power of two: the 8 MiB that every decoder of HTTP must have and none
/// need exceed (<https://www.rfc-editor.org/rfc/rfc9659#section-3>).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Takes the parameter `encoding`: a label of the WHATWG Encoding Standard (<https://encoding.spec.whatwg.org/#names-and-labels>).
fn encoding_parameter(parameters: &mut Parameters) -> Result<Option<&'static Encoding>, Problem> {
    let Some(label) = parameters.one("encoding")? else { return Ok(None) };
    Encoding::for_label_no_replacement(label.as_bytes()).map(Some).ok_or_else(|| {
        Problem::must_be("encoding", "a label of the WHATWG Encoding Standard, such as utf-16le")
    })
}

/// Takes the parameters that say how a file is to be read.
pub fn read_parameters(parameters: &mut Parameters) -> Result<ReadOptions, Problem> {
    let encoding = encoding_parameter(parameters)?;
    Ok(ReadOptions { encoding, decimal: decimal_parameter(parameters)? })
}

/// Takes the parameter `decimal`: the decimal mark of the file's amounts.
pub fn decimal_parameter(parameters: &mut Parameters) -> Result<Option<DecimalMark>, Problem> {
    let Some(name) = parameters.one("decimal")? else { return Ok(None) };
    DecimalMark::of_name(&name).map(Some).ok_or_else(|| Problem::must_be("decimal", "comma or point"))
}

/// Whether the request is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.to_ascii_lowercase().starts_with("multipart/form-data")
}

/// Begins to read a form.
///
/// # Errors
/// It is compressed, or no form.
pub fn read_form(request: Request) -> Result<Form, Problem> {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        let detail = "a form cannot be compressed: send the file as the body, with Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed_form", detail));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    Ok(Form::new(&content_type, request.into_body().into_data_stream())?)
}

/// Goes on to the next file of a form, unless the server stops; returns its name.
///
/// # Errors
/// The form cannot be read on, or the server is stopping.
pub async fn next_file(form: &mut Form, stopping: &CancellationToken) -> Result<Option<String>, Problem> {
    let name = stopping.run_until_cancelled(form.next_file()).await;
    Ok(name.ok_or_else(Problem::stopping)??)
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::TooLarge => Self::new(StatusCode::BAD_REQUEST, "form_too_large", error.to_string()),
            FormError::TooSlow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", format!("the form is too slow: {error}"))
            }
            FormError::NoBoundary | FormError::Incomplete | FormError::Malformed | FormError::Broken(_) => {
                let detail = format!(
                    "the multipart body is malformed or truncated: {error}; send it again, nothing counts twice"
                );
                Self::new(StatusCode::BAD_REQUEST, "bad_form", detail)
            }
        }
    }
}

/// The form has no file.
pub fn no_file() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "no_file", "the form has no file: curl -F file=@rounds.csv")
}

/// Returns the body as it was before it was compressed; the limit on its size (`max_bytes`) counts what comes out.
///
/// # Errors
/// It is compressed in a way that is not known, or it is not, and says itself that it is too large.
pub fn decompressed(
    headers: &HeaderMap,
    body: Body,
    max_bytes: u64,
) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default());
    let body = body.into_data_stream().map_err(std::io::Error::other);
    let piece = DECOMPRESSED_PIECE_BYTES;
    match encoding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity" | "") if announced(headers) > max_bytes => {
            Err(BodyError::TooLarge { limit: max_bytes }.into())
        }
        None | Some("identity" | "") => Ok(body.boxed()),
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
            format!("Content-Encoding {other:?} is not taken: send gzip, zstd or none"),
        )),
    }
}

/// How many bytes a body says that it has; 0 where it does not say.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// Says of what does not decompress that it is no transport that failed.
fn damaged(encoding: &str, error: std::io::Error) -> std::io::Error {
    let is_of_transport = error.get_ref().is_some_and(|inner| inner.is::<axum::Error>());
    if is_of_transport || error.kind() == std::io::ErrorKind::UnexpectedEof {
        return error;
    }
    let reason = format!("the body is not {encoding}, as Content-Encoding says, or damaged ({error})");
    std::io::Error::new(error.kind(), reason)
}
