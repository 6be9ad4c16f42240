//! `POST /reconcile/{id}/repair`, and its part of `GET /reconcile/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::openapi::parameters::{Id, RepairQuery};
use super::openapi::problems;
use super::parameters::Parameters;
use super::problem::Problem;
use super::reconcile;
use super::state::AppState;
use crate::reconcile::repair::RequestError;
use crate::reconcile::repair::record::{Prefer, RepairView, Wishes};
use crate::reconcile::report::JobView;

/// A job, with its last repair.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepairedJob {
    #[serde(flatten)]
    job: JobView,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairView>,
}

impl RepairedJob {
    /// Returns a job by the id in a path.
    ///
    /// # Errors
    /// The job does not exist, or ClickHouse does not respond.
    pub async fn find(state: &AppState, id: &str) -> Result<Self, Problem> {
        // Read before the job: a client that sees a finished repair then also sees its report.
        let repair = match Uuid::parse_str(id) {
            Ok(id) => state.repairer.get(id).await?,
            Err(_) => None,
        };
        Ok(Self::new(reconcile::find(state, id).await?, repair))
    }

    fn new(job: JobView, repair: Option<RepairView>) -> Self {
        let repair = repair.map(|repair| repair.leaving_alone(job.report.as_ref()));
        Self { job, repair }
    }
}

/// Repair the differences of a reconciliation
///
/// Loads the missing rows, rebuilds the hours that differ from their rounds (readers never see an intermediate state), and compares
/// everything again. A round that is stored with other values is not changed, unless `prefer=file`. Rounds for which the file has
/// contradictory rows are never changed; `repair.left_alone` counts these rows. `repair.state` of `GET /reconcile/{id}` shows the
/// progress.
#[utoipa::path(
    post, path = "/reconcile/{id}/repair", tag = "reconciliation", operation_id = "repair", params(Id, RepairQuery),
    responses(
        (status = 202, description = "The job, with its repair", body = RepairedJob,
         headers(("Location" = String, description = "The path of the job"))),
        problems::Repair
    )
)]
pub async fn repair(
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let prefer = match parameters.one("prefer")? {
        None => Prefer::default(),
        Some(name) => Prefer::parse(&name).ok_or_else(|| Problem::must_be("prefer", "stored or file"))?,
    };
    let removes_unexpected = match parameters.one("remove")?.as_deref() {
        None | Some("nothing") => false,
        Some("unexpected") => true,
        Some(_) => return Err(Problem::must_be("remove", "nothing or unexpected")),
    };
    parameters.finish("prefer, remove")?;
    let id = Uuid::parse_str(&id).map_err(|_| RequestError::NoSuchJob)?;
    let (job, repair) = state.repairer.request(id, Wishes { prefer, removes_unexpected }).await?;
    let mut response = (StatusCode::ACCEPTED, Json(RepairedJob::new(job, Some(repair)))).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/reconcile/{id}")) {
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
            RequestError::QueueFull { limit } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail).with("limit", limit)
            }
            RequestError::Warehouse(error) => error.into(),
            RequestError::Stopping => Self::unavailable("stopping", &detail, ""),
        }
    }
}
