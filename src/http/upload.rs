//! `POST /uploadcsv`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use futures_util::Stream;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::{decompressed, explained, file_format, is_form, next_file, read_form};
use super::openapi::problems;
use super::parameters::describe::text;
use super::parameters::file::{FileQuery, waits_until_visible};
use super::parameters::values::{Value, choice, flag};
use super::parameters::{Parameter, Query, query};
use super::problem::Problem;
use super::rejects::first_open;
use super::state::AppState;
use super::upload_view::UploadView;
use super::uploads::wait_until_visible;
use crate::counted::counted;
use crate::domain::columns::Columns;
use crate::ingest::format::FileFormat;
use crate::ingest::upload::{MaxRejects, Outcome, UploadOptions};

query! {
    /// The parameters of `POST /uploadcsv`.
    pub struct UploadQuery {
        file: FileQuery,
        /// What to do at an invalid row: `continue` with the rest of the file, or `abort`. Rows already sent stay
        on_error: bool = choice([("continue", false), ("abort", true)]).or("continue"),
        /// Stop after this number or percentage of rejected rows. A percentage is checked after the first 1,000 rows and again at the end
        max_rejects: Option<MaxRejects> = max_rejects(),
        /// Send a file again that was uploaded before. Each round still counts once
        force: bool = flag(),
        /// Check the file without producing anything. Cannot be combined with `force` or `wait=visible`
        validate_only: bool = flag(),
        /// When to answer: once Kafka has acknowledged every row, or once the rows are visible in the aggregates
        wait: bool = waits_until_visible(),
    }
}

fn max_rejects() -> Parameter<Option<MaxRejects>> {
    let pattern = r"^([0-9]{1,19}|(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%)$";
    let schema = text().pattern(Some(pattern)).examples([json!("5%")]);
    Value::new(schema, |text| text.parse().map_err(str::to_owned)).optional()
}

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

impl UploadQuery {
    /// How to upload the files.
    ///
    /// # Errors
    /// Two parameters contradict each other, or `columns` names other columns.
    fn options(self, columns: &Columns) -> Result<UploadOptions, Problem> {
        for (name, is_set) in [("force", self.force), ("wait", self.wait)] {
            if self.validate_only && is_set {
                let detail = "it cannot be combined with validate_only; remove one of the two";
                return Err(Problem::parameter(name, detail));
            }
        }
        Ok(UploadOptions {
            file_name: self.file.name.clone(),
            read: self.file.options(columns)?,
            abort_on_reject: self.on_error,
            max_rejects: self.max_rejects,
            force: self.force,
            validate_only: self.validate_only,
            is_repair: false,
        })
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
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    upload(&state, query, FileFormat::Csv, request).await
}

/// Upload files of rows
///
/// As `POST /uploadcsv`, for the rows of this dataset. A file may be CSV, NDJSON or a JSON array of objects: as `Content-Type` says
/// (`text/csv`, `application/json`, `application/x-ndjson`), otherwise as its first character shows.
#[utoipa::path(
    post, path = "/rows", tag = "uploads", operation_id = "upload_rows", params(UploadQuery),
    responses((status = 200, description = "The receipt, or receipts", body = Uploaded), problems::Rows)
)]
pub async fn upload_rows(
    State(state): State<AppState>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let format = file_format(request.headers());
    upload(&state, query, format, request).await
}

async fn upload(
    state: &AppState,
    query: UploadQuery,
    format: FileFormat,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let waits = query.wait;
    let mut options = query.options(state.uploader.columns())?;
    options.read.format = format;
    if is_form(request.headers()) {
        upload_form(state, &options, waits, request).await
    } else {
        let (parts, body) = request.into_parts();
        let body = decompressed(&parts.headers, body, state.max_upload_bytes)?;
        let receipt = upload_one(state, options, waits, body).await;
        let receipt = receipt.map_err(|problem| explained(problem, &parts.headers))?;
        Ok(Json(Uploaded::One(Box::new(receipt))))
    }
}

async fn upload_form(
    state: &AppState,
    options: &UploadOptions,
    waits: bool,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let mut form = read_form(request)?;
    let mut receipts = Vec::new();
    loop {
        let file_name = next_file(&mut form, &state.stopping).await;
        let Some(file_name) = file_name.map_err(|problem| with_receipts(problem, &receipts))? else { break };
        if receipts.len() as u64 >= state.max_form_files {
            return Err(with_receipts(too_many_files(state.max_form_files), &receipts));
        }
        let mut options = options.clone();
        if !file_name.is_empty() {
            options.file_name = file_name.clone();
        }
        let receipt = upload_one(state, options, waits, &mut form).await;
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
    let detail =
        format!("the form has more than {}; send the others in another form", counted(limit, "file"));
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", detail).with("limit", limit)
}

/// Uploads one file, and with `wait=visible` waits until its rows are visible.
async fn upload_one<S>(
    state: &AppState,
    options: UploadOptions,
    waits: bool,
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
                _ => view.with_stored_rejects(first_open(state, &row, waits).await),
            };
            (row, view)
        }
        Outcome::Validated(finished) => {
            return Ok(UploadView::of(&finished.row, columns).with_rejects(finished.rejects).validated());
        }
    };
    if !waits {
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
