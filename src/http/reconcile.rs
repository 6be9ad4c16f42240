//! `POST /reconcile` and `GET /reconcile/{id}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use encoding_rs::Encoding;
use futures_util::{Stream, TryStreamExt};
use uuid::Uuid;

use super::body::{broken_form, decompressed, drain, encoding_parameter, is_form, no_file, read_form};
use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use crate::reconcile::report::JobView;

/// Takes a CSV file, as the body or as the file of a form; answers with the job that reconciles it.
pub async fn submit(
    State(state): State<AppState>,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let name = parameters.one("name")?.unwrap_or_default();
    let encoding = encoding_parameter(&mut parameters)?;
    parameters.finish("name, encoding")?;
    if !is_form(request.headers()) {
        let (parts, body) = request.into_parts();
        return submit_one(&state, name, encoding, decompressed(&parts.headers, body)?).await;
    }
    let mut form = read_form(request).await?;
    while let Some(field) = form.next_field().await.map_err(|error| broken_form(&error))? {
        if let Some(name) = field.file_name().map(str::to_owned) {
            return submit_one(&state, name, encoding, field.map_err(std::io::Error::other)).await;
        }
    }
    Err(no_file())
}

async fn submit_one<S>(
    state: &AppState,
    name: String,
    encoding: Option<&'static Encoding>,
    mut body: S,
) -> Result<Response, Problem>
where
    S: Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
{
    match state.reconciler.submit(name, encoding, &mut body).await {
        Ok(job) => Ok(accepted(&job)),
        Err(error) => {
            drain(body).await;
            Err(error.into())
        }
    }
}

fn accepted(job: &JobView) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/reconcile/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Answers how a job is, and what it found once it is done.
pub async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<JobView>, Problem> {
    parameters.finish("none")?;
    let no_such_job =
        || Problem::new(StatusCode::NOT_FOUND, "no_such_job", "there is no reconciliation with this id");
    let id = Uuid::parse_str(&id).map_err(|_| no_such_job())?;
    state.reconciler.get(id).await?.map(Json).ok_or_else(no_such_job)
}
