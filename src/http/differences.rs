//! `GET /reconcile/{id}/differences`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::download::{Format, ListQuery, csv_record, escape_formula, pieces, respond};
use super::job_view::find;
use super::openapi::parameters::Id;
use super::openapi::problems;
use super::parameters::values::choice;
use super::parameters::{Query, query};
use super::problem::Problem;
use super::state::ReconcileState;
use crate::reconcile::differences::{DIFFERENCES_DAYS, DifferenceRow, Kinds, Shape};
use crate::reconcile::report::{JobState, Kind};

query! {
    /// The parameters of `GET /reconcile/{id}/differences`.
    pub struct DifferencesQuery {
        /// Only differences of this kind: `hour` are those of bets, `aggregate` those of other datasets
        kind: Option<Kind> = choice(Kind::ALL.map(|kind| (kind.name(), kind))).optional(),
        list: ListQuery,
    }
}

/// List all differences
///
/// Grouped by kind, in the order of the file's lines. The list is kept for 30 days.
#[utoipa::path(
    get, path = "/reconcile/{id}/differences", tag = "reconciliation", operation_id = "list_differences",
    params(Id, DifferencesQuery),
    responses(
        (status = 200, description = "All differences", content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String, description = "The file's name"))),
        problems::Differences
    )
)]
pub async fn list(
    State(state): State<ReconcileState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(DifferencesQuery { kind, list }): Query<DifferencesQuery>,
) -> Result<Response, Problem> {
    let (format, escape_formulas) = (Format::of(list.format, &headers), list.escape_formulas);
    let job = find(&state, &id).await?;
    let report = job.report.filter(|_| job.state == JobState::Done).ok_or_else(|| not_done(job.state))?;
    let differences = state.reconciler.differences(job.id).await?.ok_or_else(|| not_done(job.state))?;
    if differences.count(Kinds::ALL).await? != report.differences() {
        return Err(expired());
    }
    let cursor = differences.fetch(Kinds::chosen(kind, &state.reconciler.dataset().name))?;
    let writer = Writer { format, escape_formulas };
    let shape = Shape::new(state.reconciler.dataset());
    let pieces = pieces(cursor, writer.start(&shape), move |row, out| writer.write(row, &shape, out));
    respond(&format!("differences-{}", job.id), format, pieces).await
}

fn not_done(state: JobState) -> Problem {
    let detail = match state {
        JobState::Queued | JobState::Running => "this reconciliation is still running; wait until it is done",
        _ => "this reconciliation failed or was cancelled, so it has no differences; send the file again",
    };
    Problem::new(StatusCode::CONFLICT, "not_done", detail).with("state", state.name())
}

fn expired() -> Problem {
    let detail =
        format!("differences are kept for {DIFFERENCES_DAYS} days; send the file again for a new list");
    Problem::new(StatusCode::GONE, "differences_expired", detail)
}

/// Writes differences.
#[derive(Clone, Copy)]
struct Writer {
    format: Format,
    escape_formulas: bool,
}

impl Writer {
    fn start(self, shape: &Shape) -> Vec<u8> {
        let mut start = Vec::new();
        if self.format == Format::Csv {
            csv_record(shape.names().iter().map(String::as_str), &mut start);
        }
        start
    }

    fn write(self, row: DifferenceRow, shape: &Shape, out: &mut Vec<u8>) {
        match self.format {
            Format::Csv => {
                let mut fields = shape.fields(row);
                if self.escape_formulas {
                    fields = fields.into_iter().map(escape_formula).collect();
                }
                csv_record(fields.iter().map(String::as_str), out);
            }
            Format::Ndjson => {
                if let Some(difference) = shape.difference(row) {
                    // Writing to memory cannot fail.
                    let _ = serde_json::to_writer(&mut *out, &difference);
                    out.push(b'\n');
                }
            }
        }
    }
}
