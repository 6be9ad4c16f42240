//! `POST /reconcile`, `GET /reconcile`, `GET /reconcile/{id}` and `DELETE /reconcile/{id}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{decompressed, explained, file_format, is_form, next_file, read_form};
use super::job_view::{RepairedJob, no_such_job};
use super::newest::{Links, Newest, Position};
use super::openapi::parameters::Id;
use super::openapi::problems;
use super::parameters::describe::uuid;
use super::parameters::file::FileQuery;
use super::parameters::values::Value;
use super::parameters::{Query, query};
use super::problem::Problem;
use super::state::{AppState, ReconcileState};
use crate::dataset::BETS;
use crate::reconcile::report::JobView;
use crate::reconcile::{CancelError, Submission};

/// Uploads that a request may name.
const MAX_NAMED_UPLOADS: usize = 100;

query! {
    /// The parameters of `POST /reconcile`.
    pub struct ReconcileQuery {
        file: FileQuery,
        /// Uploads that this file corresponds to, if its bytes differ
        upload_id: Vec<Uuid> = upload_id().repeated(MAX_NAMED_UPLOADS),
    }
}

/// The id of an upload. Whether there is such an upload is checked later.
fn upload_id() -> Value<Uuid> {
    let what = "the id of an upload; GET /uploads lists them";
    Value::new(uuid(), move |text| Uuid::try_parse(text).map_err(|_| what.to_owned()))
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobsPage)]
pub struct Page {
    items: Vec<JobView>,
    page: Position,
    links: Links,
}

/// Compare a file with the stored rows
///
/// A background job compares every valid row, and the aggregates of its rows. It survives a restart of the server. `GET /reconcile/{id}` shows
/// its state and result.
#[utoipa::path(
    post, path = "/reconcile", tag = "reconciliation", operation_id = "reconcile", params(ReconcileQuery),
    responses(
        (status = 202, description = "The job", body = JobView, headers(("Location" = String, description = "The path of the job"))),
        problems::Reconcile
    )
)]
pub async fn submit(
    State(state): State<ReconcileState>,
    Query(ReconcileQuery { file, upload_id }): Query<ReconcileQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let file_name = file.name.clone();
    let mut read = file.options(&state.reconciler.dataset().columns)?;
    // The path without a prefix takes CSV, as `/uploadcsv` does.
    if state.app.dataset().name != BETS {
        read.format = file_format(request.headers());
    }
    let uploads = known_uploads(&state, upload_id).await?;
    let mut submission = Submission { file_name, read, uploads };
    if !is_form(request.headers()) {
        let (parts, body) = request.into_parts();
        let body = decompressed(&parts.headers, body, state.app.max_upload_bytes)?;
        let submitted = submit_one(&state, submission, body).await;
        return submitted.map_err(|problem| explained(problem, &parts.headers));
    }
    let mut form = read_form(request)?;
    let file_name = next_file(&mut form, &state.app.stopping).await?.ok_or_else(|| form.no_file())?;
    if !file_name.is_empty() {
        submission.file_name = file_name;
    }
    submit_one(&state, submission, form).await
}

/// Checks that the named uploads exist.
async fn known_uploads(state: &ReconcileState, named: Vec<Uuid>) -> Result<Vec<Uuid>, Problem> {
    let mut ids = Vec::new();
    for id in named {
        if state.app.uploader.upload(id).await?.is_none() {
            return Err(Problem::parameter(
                "upload_id",
                format!("there is no upload {id}; GET {} lists them", state.app.path("/uploads")),
            ));
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

async fn submit_one<S>(state: &ReconcileState, submission: Submission, body: S) -> Result<Response, Problem>
where
    S: Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
{
    Ok(accepted(state, &state.reconciler.submit(submission, body).await?))
}

fn accepted(state: &ReconcileState, job: &JobView) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(location) = HeaderValue::try_from(state.app.path(&format!("/reconcile/{}", job.id))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// List reconciliations, newest first
#[utoipa::path(
    get, path = "/reconcile", tag = "reconciliation", operation_id = "list_reconciliations", params(Newest),
    responses((status = 200, description = "A page of reconciliations", body = Page), problems::Query)
)]
pub async fn list(
    State(state): State<ReconcileState>,
    Query(newest): Query<Newest>,
) -> Result<Json<Page>, Problem> {
    let mut items = state.reconciler.page(newest.before(), newest.wanted()).await?;
    let (page, links) = newest.cut(&state.app.path("/reconcile"), &mut items, |job| job.id);
    Ok(Json(Page { items, page, links }))
}

/// Get a reconciliation's state and result
#[utoipa::path(
    get, path = "/reconcile/{id}", tag = "reconciliation", operation_id = "show_reconciliation", params(Id),
    responses((status = 200, description = "The job, with its last repair", body = RepairedJob), problems::Job)
)]
pub async fn show(
    State(state): State<ReconcileState>,
    Path(id): Path<String>,
    _: Query<()>,
) -> Result<Json<RepairedJob>, Problem> {
    Ok(Json(RepairedJob::find(&state, &id).await?))
}

/// Cancel a queued or running reconciliation
#[utoipa::path(
    delete, path = "/reconcile/{id}", tag = "reconciliation", operation_id = "cancel_reconciliation", params(Id),
    responses((status = 200, description = "The cancelled job", body = JobView), problems::Cancel)
)]
pub async fn cancel(
    State(state): State<ReconcileState>,
    Path(id): Path<String>,
    _: Query<()>,
) -> Result<Json<JobView>, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| no_such_job(&state))?;
    match state.reconciler.cancel(id).await {
        Err(CancelError::NoSuchJob) => Err(no_such_job(&state)),
        cancelled => Ok(Json(cancelled?)),
    }
}

/// Answers where a dataset without a key would have reconciliations.
pub async fn needs_key(State(app): State<AppState>) -> Problem {
    let name = &app.dataset().name;
    let detail = format!(
        "the rows of {name} have no key, and a reconciliation needs one; a dataset names its key in its schema"
    );
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail)
}
