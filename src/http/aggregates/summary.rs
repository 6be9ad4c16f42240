//! `GET /aggregates/summary`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Described};
use utoipa::{IntoResponses, ToSchema};

use super::answers::{fresh, with_not_modified};
use super::request::Filters;
use super::{Conditions, in_time, respond};
use crate::domain::timestamp;
use crate::http::format::Format;
use crate::http::openapi::parameters::IfNoneMatch;
use crate::http::openapi::problems;
use crate::http::parameters::Query;
use crate::http::problem::Problem;
use crate::http::state::AppState;
use crate::http::stream;
use crate::http::stream::{PIECE_BYTES, Pieces, push_element};
use crate::warehouse::aggregates::{Filter, Totals, fetch_summary};
use crate::warehouse::client::WarehouseError;

/// Sums of everything that matches the filters, or of one hour of it. Money is a decimal string.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Totals)]
pub struct Sums {
    /// The hour; left out in the totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_hour: Option<String>,
    rounds_played: u64,
    /// Number of different players.
    players: u64,
    /// Number of different games.
    games: u64,
    real_amount_bet: String,
    bonus_amount_bet: String,
    real_amount_win: String,
    bonus_amount_win: String,
    /// Bets minus wins, real and bonus together.
    net: String,
}

impl Sums {
    fn new(totals: Totals, created_hour: Option<String>) -> Self {
        Self {
            created_hour,
            rounds_played: totals.rounds_played,
            players: totals.players,
            games: totals.games,
            real_amount_bet: totals.real_amount_bet,
            bonus_amount_bet: totals.bonus_amount_bet,
            real_amount_win: totals.real_amount_win,
            bonus_amount_win: totals.bonus_amount_win,
            net: totals.net,
        }
    }
}

/// The totals, overall and per hour.
#[derive(Debug, ToSchema)]
pub struct AggregatesSummary {
    #[serde(flatten)]
    pub totals: Sums,
    pub hours: Vec<Sums>,
}

/// The responses of `GET /aggregates/summary`.
#[derive(Debug)]
pub struct Summary;

impl IntoResponses for Summary {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let json =
            ContentBuilder::new().schema(Some(Ref::from_schema_name(AggregatesSummary::name()))).build();
        with_not_modified(fresh("The totals").content("application/json", json))
    }
}

/// Totals, overall and per hour
///
/// Hours without rounds are left out.
#[utoipa::path(
    get,
    path = "/aggregates/summary",
    tag = "aggregates",
    operation_id = "aggregates_summary",
    params(Filters, IfNoneMatch),
    responses(Summary, problems::Aggregates)
)]
pub async fn summary(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(filters): Query<Filters>,
) -> Result<Response, Problem> {
    let filter = filters.into_filter()?;
    in_time(&state, answer(&state, &headers, &filter)).await
}

async fn answer(state: &AppState, headers: &HeaderMap, filter: &Filter) -> Result<Response, Problem> {
    let conditions = Conditions::look(state, headers, Format::Json).await?;
    if conditions.is_known {
        return Ok(conditions.not_modified());
    }
    let permit = super::permit(state).await?;
    let is_ordered = conditions.fresh.version.is_ordered();
    let (totals, hours) = fetch_summary(&state.warehouse, filter, is_ordered, state.query_limits).await?;
    let mut start = serde_json::to_vec(&Sums::new(totals, None)).unwrap_or_default();
    // The hours are the last member of the object with the totals.
    start.pop();
    start.extend(b",\"hours\":[");
    let body = stream::body(
        vec![Bytes::from(start)],
        Hours { hours, is_first: true },
        Bytes::from_static(b"]}"),
        permit,
    );
    Ok(respond(body, Format::Json, &conditions))
}

/// The hours as the elements of an array.
struct Hours {
    hours: crate::warehouse::aggregates::Hours,
    is_first: bool,
}

impl Pieces for Hours {
    async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            let Some(totals) = self.hours.next().await? else { break };
            let hour = timestamp::format(i64::from(totals.created_hour) * 1000);
            push_element(&mut piece, &mut self.is_first, &Sums::new(totals, Some(hour)));
        }
        Ok((!piece.is_empty()).then(|| Bytes::from(piece)))
    }
}
