//! `POST /uploadcsv`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, TryStreamExt};
use serde_json::json;

use super::body::{broken_form, decompressed, drain, encoding_parameter, is_form, no_file, read_form};
use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use crate::ingest::upload::{Receipt, UploadError, UploadOptions, UploadState};
use crate::loader::visibility::wait_until_loaded;

const KNOWN: &str = "name, encoding, on_error, force, wait";

/// What the query says.
#[derive(Clone, Debug)]
struct UploadQuery {
    options: UploadOptions,
    wait_visible: bool,
}

impl UploadQuery {
    fn parse(mut parameters: Parameters) -> Result<Self, Problem> {
        let file_name = parameters.one("name")?.unwrap_or_default();
        let encoding = encoding_parameter(&mut parameters)?;
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
    let mut form = read_form(request).await?;
    let mut receipts = Vec::new();
    while let Some(field) =
        form.next_field().await.map_err(|error| with_receipts(broken_form(&error), &receipts))?
    {
        let Some(file_name) = field.file_name().map(str::to_owned) else { continue };
        let options = UploadOptions { file_name, ..query.options.clone() };
        let receipt = upload_one(state, query, options, field.map_err(std::io::Error::other)).await;
        receipts.push(receipt.map_err(|problem| with_receipts(problem, &receipts))?);
    }
    match receipts.as_slice() {
        [] => Err(no_file()),
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
    S: Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
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

/// Adds what came of the files before the one at fault.
fn with_receipts(problem: Problem, receipts: &[Receipt]) -> Problem {
    if receipts.is_empty() {
        return problem;
    }
    problem.with("uploads", serde_json::to_value(receipts).unwrap_or_default())
}
