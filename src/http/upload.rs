//! `POST /uploadcsv`.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use encoding_rs::Encoding;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader};

use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use crate::ingest::upload::{Receipt, UploadError, UploadOptions, UploadState};
use crate::loader::visibility::wait_until_loaded;

const KNOWN: &str = "name, encoding, on_error, force, wait";

/// What is read of a body that is refused, so that its sender gets to see why instead of a broken connection.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Bytes of a piece that comes out of a decompressor.
const DECOMPRESSED_PIECE_BYTES: usize = 65_536;

/// What the query says.
#[derive(Clone, Debug)]
struct UploadQuery {
    options: UploadOptions,
    wait_visible: bool,
}

impl UploadQuery {
    fn parse(mut parameters: Parameters) -> Result<Self, Problem> {
        let file_name = parameters.one("name")?.unwrap_or_default();
        let encoding = parameters.one("encoding")?.map(|label| parse_encoding(&label)).transpose()?;
        let abort_on_reject = match parameters.one("on_error")?.as_deref() {
            None | Some("continue") => false,
            Some("abort") => true,
            Some(_) => return Err(Problem::parameter("on_error", "abort or continue")),
        };
        let force = parameters.flag("force")?;
        let wait_visible = match parameters.one("wait")?.as_deref() {
            None | Some("acknowledged") => false,
            Some("visible") => true,
            Some(_) => return Err(Problem::parameter("wait", "acknowledged or visible")),
        };
        parameters.finish(KNOWN)?;
        Ok(Self { options: UploadOptions { file_name, encoding, abort_on_reject, force }, wait_visible })
    }
}

pub fn parse_encoding(label: &str) -> Result<&'static Encoding, Problem> {
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Problem::parameter("encoding", "a label of the WHATWG Encoding Standard, such as utf-16le"))
}

/// Takes a CSV file, as the body or as the files of a form; answers once the broker has every row.
pub async fn upload_csv(
    State(state): State<AppState>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let query = UploadQuery::parse(parameters)?;
    if is_form(request.headers()) {
        upload_form(&state, &query, request).await
    } else {
        let (parts, body) = request.into_parts();
        let body = decompressed(&parts.headers, body)?;
        let receipt = upload_one(&state, &query, query.options.clone(), body).await?;
        Ok(Json(receipt).into_response())
    }
}

async fn upload_form(state: &AppState, query: &UploadQuery, request: Request) -> Result<Response, Problem> {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        let detail = "a form cannot be compressed: send the file as the body, with Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed_form", detail));
    }
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad_form", error.body_text()))?;
    let mut receipts = Vec::new();
    while let Some(field) =
        form.next_field().await.map_err(|error| bad_form(&error.body_text(), &receipts))?
    {
        let Some(file_name) = field.file_name().map(str::to_owned) else { continue };
        let options = UploadOptions { file_name, ..query.options.clone() };
        let body = field.map_err(std::io::Error::other);
        let receipt = upload_one(state, query, options, pin!(body)).await;
        receipts.push(receipt.map_err(|problem| with_receipts(problem, &receipts))?);
    }
    match receipts.as_slice() {
        [] => Err(Problem::new(StatusCode::BAD_REQUEST, "no_file", "the form has no file: curl -F file=@rounds.csv")),
        [receipt] => Ok(Json(receipt).into_response()),
        receipts => Ok(Json(json!({ "uploads": receipts })).into_response()),
    }
}

/// Uploads one file, and waits until it is visible where that is asked for.
async fn upload_one<S>(
    state: &AppState,
    query: &UploadQuery,
    options: UploadOptions,
    mut body: S,
) -> Result<Receipt, Problem>
where
    S: futures_util::Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
{
    let mut receipt = match state.uploader.run(options, &mut body).await {
        Ok(receipt) => receipt,
        Err(error) => {
            if !matches!(error, UploadError::BrokenOff { .. }) {
                drain(body).await;
            }
            return Err(error.into());
        }
    };
    if query.wait_visible {
        let next: BTreeMap<u16, i64> =
            receipt.offsets.iter().map(|(partition, (_, last))| (*partition, last + 1)).collect();
        let visible = wait_until_loaded(&state.warehouse, &state.topic, &next, state.visible_timeout).await?;
        if visible && receipt.state == UploadState::Acknowledged {
            receipt.state = UploadState::Visible;
        }
    }
    Ok(receipt)
}

/// Reads on, within bounds, so that the answer reaches a client that is still sending.
async fn drain(mut body: impl futures_util::Stream<Item = std::io::Result<Bytes>> + Unpin) {
    let mut rest = DRAIN_BYTES;
    let draining = async {
        while let Some(Ok(piece)) = body.next().await {
            rest = rest.saturating_sub(piece.len());
            if rest == 0 {
                break;
            }
        }
    };
    // Past the bound the connection breaks off, as it would have at once.
    let _ = tokio::time::timeout(DRAIN_TIME, draining).await;
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.to_ascii_lowercase().starts_with("multipart/form-data")
}

/// The body as it was before it was compressed; the limit on its size counts what comes out.
fn decompressed(headers: &HeaderMap, body: Body) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default());
    let body = body.into_data_stream().map_err(std::io::Error::other);
    let piece = DECOMPRESSED_PIECE_BYTES;
    match encoding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity" | "") => Ok(body.boxed()),
        Some("gzip" | "x-gzip") => {
            let mut decoder = GzipDecoder::new(StreamReader::new(body));
            decoder.multiple_members(true);
            Ok(ReaderStream::with_capacity(decoder, piece).boxed())
        }
        Some("zstd") => {
            let mut decoder = ZstdDecoder::new(StreamReader::new(body));
            decoder.multiple_members(true);
            Ok(ReaderStream::with_capacity(decoder, piece).boxed())
        }
        Some(other) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            format!("Content-Encoding {other:?} is not taken: send gzip, zstd or none"),
        )),
    }
}

fn bad_form(reason: &str, receipts: &[Receipt]) -> Problem {
    let detail = format!("the form is not complete: {reason}; sending it again counts nothing twice");
    with_receipts(Problem::new(StatusCode::BAD_REQUEST, "bad_form", detail), receipts)
}

/// Adds what came of the files before the one at fault.
fn with_receipts(problem: Problem, receipts: &[Receipt]) -> Problem {
    if receipts.is_empty() {
        return problem;
    }
    problem.with("uploads", serde_json::to_value(receipts).unwrap_or_default())
}
