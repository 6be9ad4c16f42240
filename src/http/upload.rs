//! `POST /uploadcsv`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{decompressed, explained, is_form, next_file, read_form, read_parameters};
use super::openapi::parameters::UploadQuery;
use super::openapi::problems;
use super::parameters::Parameters;
use super::problem::Problem;
use super::rejects::first_open;
use super::state::AppState;
use super::upload_view::UploadView;
use super::uploads::wait_until_visible;
use crate::domain::columns::Columns;
use crate::ingest::upload::{Outcome, UploadOptions};

const KNOWN: &str =
    "name, encoding, decimal, columns, timezone, on_error, max_rejects, force, validate_only, wait";

/// The receipts of a form of several files.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipts {
    uploads: Vec<UploadView>,
}

/// The receipt of one file, or the receipts of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Uploaded {
    One(Box<UploadView>),
    Several(Receipts),
}

/// The parameters of an upload.
#[derive(Clone, Debug)]
struct Query {
    options: UploadOptions,
    wait_visible: bool,
}

impl Query {
    fn parse(mut parameters: Parameters, columns: &Columns) -> Result<Self, Problem> {
        let file_name = parameters.one("name")?.unwrap_or_default();
        let read = read_parameters(&mut parameters, columns)?;
        let abort_on_reject = match parameters.one("on_error")?.as_deref() {
            None | Some("continue") => false,
            Some("abort") => true,
            Some(_) => return Err(Problem::must_be("on_error", "abort or continue")),
        };
        let max_rejects = parameters.one("max_rejects")?.map(|text| text.parse()).transpose();
        let max_rejects = max_rejects.map_err(|help| Problem::must_be("max_rejects", help))?;
        let force = parameters.flag("force")?;
        let validate_only = parameters.flag("validate_only")?;
        let wait_visible = wait_parameter(&mut parameters)?;
        parameters.finish(KNOWN)?;
        for (name, is_set) in [("force", force), ("wait", wait_visible)] {
            if validate_only && is_set {
                return Err(Problem::parameter(
                    name,
                    "it cannot be combined with validate_only; remove one of the two",
                ));
            }
        }
        let options = UploadOptions {
            file_name,
            read,
            abort_on_reject,
            max_rejects,
            force,
            validate_only,
            is_repair: false,
        };
        Ok(Self { options, wait_visible })
    }
}

/// Takes the parameter `wait`: whether the response waits until the rows are visible.
pub fn wait_parameter(parameters: &mut Parameters) -> Result<bool, Problem> {
    match parameters.one("wait")?.as_deref() {
        None | Some("acknowledged") => Ok(false),
        Some("visible") => Ok(true),
        Some(_) => Err(Problem::must_be("wait", "acknowledged or visible")),
    }
}

/// Upload CSV files
///
/// Responds once Kafka has acknowledged every row, or with `wait=visible` once the rows are in the aggregates. An invalid row does not
/// stop the upload: it is set aside and reported in the receipt. The same bytes again get their first receipt. Sending a file again is
/// always safe: each round counts once. A form with several files gets a receipt for each, in `uploads`.
#[utoipa::path(
    post, path = "/uploadcsv", tag = "uploads", params(UploadQuery),
    responses((status = 200, description = "The receipt, or receipts", body = Uploaded), problems::Upload)
)]
pub async fn upload_csv(
    State(state): State<AppState>,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let query = Query::parse(parameters, state.uploader.columns())?;
    if is_form(request.headers()) {
        upload_form(&state, &query, request).await
    } else {
        let (parts, body) = request.into_parts();
        let body = decompressed(&parts.headers, body, state.max_upload_bytes)?;
        let receipt = upload_one(&state, &query, query.options.clone(), body).await;
        let receipt = receipt.map_err(|problem| explained(problem, &parts.headers))?;
        Ok(Json(Uploaded::One(Box::new(receipt))))
    }
}

async fn upload_form(state: &AppState, query: &Query, request: Request) -> Result<Json<Uploaded>, Problem> {
    let mut form = read_form(request)?;
    let mut receipts = Vec::new();
    loop {
        let file_name = next_file(&mut form, &state.stopping).await;
        let Some(file_name) = file_name.map_err(|problem| with_receipts(problem, &receipts))? else { break };
        if receipts.len() as u64 >= state.max_form_files {
            return Err(with_receipts(too_many_files(state.max_form_files), &receipts));
        }
        let mut options = query.options.clone();
        if !file_name.is_empty() {
            options.file_name = file_name.clone();
        }
        let receipt = upload_one(state, query, options, &mut form).await;
        let named = |problem: Problem| with_receipts(problem.of_file(&file_name), &receipts);
        let receipt = receipt.map_err(named)?;
        receipts.push(receipt);
    }
    match receipts.as_slice() {
        [] => Err(form.no_file().into()),
        [_] => Ok(Json(Uploaded::One(Box::new(receipts.swap_remove(0))))),
        _ => Ok(Json(Uploaded::Several(Receipts { uploads: receipts }))),
    }
}

fn too_many_files(limit: u64) -> Problem {
    let detail = format!("the form has more than {limit} files; send the others in another form");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", detail).with("limit", limit)
}

/// Uploads one file, and with `wait=visible` waits until its rows are visible.
async fn upload_one<S>(
    state: &AppState,
    query: &Query,
    options: UploadOptions,
    body: S,
) -> Result<UploadView, Problem>
where
    S: Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
{
    let started = Instant::now();
    let outcome = state.uploader.run(options, body).await?;
    let columns = state.uploader.columns();
    let (row, view) = match outcome {
        Outcome::Acknowledged(finished) => {
            let view = UploadView::of(&finished.row, columns).with_rejects(finished.rejects);
            (finished.row, view)
        }
        Outcome::Duplicate(row) => {
            let view = UploadView::of(&row, columns).duplicate(started.elapsed().as_secs_f64());
            let view = match row.rejected {
                0 => view,
                _ => view.with_stored_rejects(first_open(state, &row, query.wait_visible).await),
            };
            (row, view)
        }
        Outcome::Validated(finished) => {
            return Ok(UploadView::of(&finished.row, columns).with_rejects(finished.rejects).validated());
        }
    };
    if !query.wait_visible {
        return Ok(view);
    }
    let not_seen = |error| Problem::from(error).with("upload_id", row.upload_id.to_string());
    Ok(view.seen(wait_until_visible(state, &row).await.map_err(not_seen)?))
}

/// Adds the receipts of the files before the one that failed.
fn with_receipts(problem: Problem, receipts: &[UploadView]) -> Problem {
    if receipts.is_empty() {
        return problem;
    }
    problem.with("uploads", serde_json::to_value(receipts).unwrap_or_default())
}
