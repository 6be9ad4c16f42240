//! `POST /reconcile/{id}/repair`, and the repair in `GET /reconcile/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::job_view::RepairedJob;
use super::openapi::parameters::Id;
use super::openapi::problems;
use super::parameters::values::{choice, flag};
use super::parameters::{Query, query};
use super::problem::Problem;
use super::state::ReconcileState;
use crate::reconcile::repair::RequestError;
use crate::reconcile::repair::preview::RepairPreview;
use crate::reconcile::repair::record::{Prefer, Wishes};
use crate::reconcile::report::JobView;

query! {
    /// The parameters of `POST /reconcile/{id}/repair`.
    pub struct RepairQuery {
        /// Which values win when a stored row differs from the file
        prefer: Prefer = choice(Prefer::ALL.map(|prefer| (prefer.name(), prefer))).or(Prefer::default().name()),
        /// Remove rows that the file's upload stored and that are not in the file
        remove: bool = choice([("nothing", false), ("unexpected", true)]).or("nothing"),
        /// Only report what the repair would change, and change nothing
        preview: bool = flag(),
    }
}

/// A job with the preview of its repair.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedJob {
    #[serde(flatten)]
    job: JobView,
    preview: RepairPreview,
}

/// Repair the differences that a reconciliation found
///
/// Produces missing rows, removes copies of rows, rebuilds aggregates that differ, and then compares everything that differed again. No
/// reader sees a partly rebuilt sum. By default, a stored row that differs from the file is left unchanged; `prefer=file` overwrites
/// it with the file's values. Rows that contradict each other in the file are never changed; `repair.left_alone` says how many
/// these are. The repair runs in the background; `repair.state` of `GET /reconcile/{id}` shows its progress.
///
/// Use `preview=true` first: the answer then says what the repair would change, and nothing is changed.
#[utoipa::path(
    post, path = "/reconcile/{id}/repair", tag = "reconciliation", operation_id = "repair", params(Id, RepairQuery),
    responses(
        (status = 200, description = "With `preview=true`: the job, with what the repair would change", body = PreviewedJob),
        (status = 202, description = "The job with its repair", body = RepairedJob,
         headers(("Location" = String, description = "The address of the job"))),
        problems::Repair
    )
)]
pub async fn repair(
    State(state): State<ReconcileState>,
    Path(id): Path<String>,
    Query(RepairQuery { prefer, remove, preview }): Query<RepairQuery>,
) -> Result<Response, Problem> {
    let wishes = Wishes { prefer, removes_unexpected: remove };
    let id = Uuid::parse_str(&id).map_err(|_| RequestError::NoSuchJob)?;
    if preview {
        let patience = state.app.query_limits.timeout;
        let (job, preview) = state.repairer.preview(id, wishes, patience).await?;
        return Ok(Json(PreviewedJob { job, preview }).into_response());
    }
    let (job, repair) = state.repairer.request(id, wishes).await?;
    let mut response = (StatusCode::ACCEPTED, Json(RepairedJob::new(job, Some(repair), state.app.dataset())))
        .into_response();
    if let Ok(location) = HeaderValue::try_from(state.app.path(&format!("/reconcile/{id}"))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let detail = error.to_string();
        match error {
            RequestError::NoSuchJob => Self::new(StatusCode::NOT_FOUND, "no_such_job", detail),
            RequestError::NotDone { state } => {
                Self::new(StatusCode::CONFLICT, "not_done", detail).with("state", state.name())
            }
            RequestError::NoValidRows => Self::new(StatusCode::CONFLICT, "no_valid_rows", detail),
            RequestError::Elsewhere => Self::new(StatusCode::CONFLICT, "job_elsewhere", detail),
            RequestError::NotLoading { owner } => {
                let problem = Self::new(StatusCode::CONFLICT, "not_loading", detail);
                owner.iter().fold(problem, |problem, owner| problem.with("owner", owner.to_string()))
            }
            RequestError::UnderWay => Self::new(StatusCode::CONFLICT, "repair_under_way", detail),
            RequestError::DifferencesGone => Self::new(StatusCode::GONE, "differences_expired", detail),
            RequestError::PreviewTooLarge { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "query_too_large", detail)
            }
            RequestError::QueueFull { limit } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail).with("limit", limit)
            }
            RequestError::Warehouse(error) => error.into(),
            RequestError::Stopping => Self::unavailable("stopping", &detail, ""),
        }
    }
}
