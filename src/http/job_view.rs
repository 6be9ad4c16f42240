//! A reconciliation as the API shows it.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::Problem;
use super::state::ReconcileState;
use crate::dataset::Dataset;
use crate::reconcile::repair::record::RepairView;
use crate::reconcile::report::JobView;

/// A job with its last repair.
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
    pub async fn find(state: &ReconcileState, id: &str) -> Result<Self, Problem> {
        // Before the job: an answer with a finished repair must have the report of that repair.
        let repair = match Uuid::parse_str(id) {
            Ok(id) => state.repairer.get(id).await?,
            Err(_) => None,
        };
        Ok(Self::new(find(state, id).await?, repair, state.app.dataset()))
    }

    /// `job`: with the report of that repair, if it has ended.
    pub fn new(job: JobView, repair: Option<RepairView>, dataset: &Dataset) -> Self {
        let repair = repair.map(|repair| repair.leaving_alone(job.report.as_ref(), dataset));
        Self { job, repair }
    }
}

/// Returns a job by the id in a path.
pub async fn find(state: &ReconcileState, id: &str) -> Result<JobView, Problem> {
    let id = Uuid::try_parse(id).map_err(|_| no_such_job(state))?;
    state.reconciler.get(id).await?.ok_or_else(|| no_such_job(state))
}

/// No job of the dataset has the requested id.
pub fn no_such_job(state: &ReconcileState) -> Problem {
    let list = state.app.path("/reconcile");
    let detail = format!("no reconciliation has this id; GET {list} lists them");
    Problem::new(StatusCode::NOT_FOUND, "no_such_job", detail)
}
