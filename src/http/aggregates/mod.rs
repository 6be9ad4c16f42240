//! `GET /aggregates` and `GET /aggregates/summary`.

pub mod answers;
mod cursor;
pub mod items;
pub mod request;
pub mod summary;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use self::items::Items;
use self::request::AggregatesQuery;
use super::download::formula_starts;
use super::entity_tag;
use super::format::Format;
use super::freshness::Fresh;
use super::openapi::parameters::IfNoneMatch;
use super::openapi::problems;
use super::parameters::Query;
use super::problem::Problem;
use super::state::AppState;
use super::stream;
use crate::domain::timestamp;
use crate::warehouse::aggregates::{Filter, Key, Page, fetch, fetch_items};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::format::TableFormat;

/// The time up to which acknowledged rows are included.
const AS_OF: HeaderName = HeaderName::from_static("roundhouse-as-of");

/// Only the client may cache a response, and must revalidate it with its entity tag: the data may change at any time.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The position of a page, and of the next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AggregatesPosition)]
pub struct Position {
    limit: u64,
    skip: u64,
    /// Null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AggregatesLinks)]
pub struct Links {
    /// Null on the last page.
    #[schema(required)]
    next: Option<String>,
}

/// What follows the items of a page in JSON.
#[derive(Debug, Serialize)]
struct End {
    page: Position,
    links: Links,
}

/// Bets, wins and net per hour, player and game
///
/// In a total order. Follow `links.next`: pages never overlap or skip rows, even while data arrives.
#[utoipa::path(
    get,
    path = "/aggregates",
    tag = "aggregates",
    params(AggregatesQuery, IfNoneMatch),
    responses(answers::Aggregates, problems::Aggregates)
)]
pub async fn aggregates(
    State(state): State<AppState>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(AggregatesQuery { filters, page, format, escape_formulas }): Query<AggregatesQuery>,
) -> Result<Response, Problem> {
    let filter = filters.into_filter()?;
    let page = page.after_cursor(&filter)?;
    let format = Format::of(format, &headers);
    let query = uri.query().unwrap_or_default();
    in_time(&state, answer(&state, &headers, query, &filter, page, (format, escape_formulas))).await
}

async fn answer(
    state: &AppState,
    headers: &HeaderMap,
    query: &str,
    filter: &Filter,
    page: Page,
    (format, escape_formulas): (Format, bool),
) -> Result<Response, Problem> {
    let conditions = Conditions::look(state, headers, format).await?;
    if conditions.is_known {
        return Ok(conditions.not_modified());
    }
    let permit = permit(state).await?;
    let is_ordered = conditions.fresh.version.is_ordered();
    let (warehouse, limits) = (&state.warehouse, state.query_limits);
    let (body, links) = match format {
        Format::Json => {
            let found = fetch_items(warehouse, filter, &page, is_ordered, limits).await?;
            let end = end(found.next.as_ref(), query, filter, &page);
            let mut text = serde_json::to_vec(&end).unwrap_or_default();
            // It continues the object whose first member are the items.
            if let Some(brace) = text.first_mut() {
                *brace = b',';
            }
            text.insert(0, b']');
            let start = vec![Bytes::from_static(b"{\"items\":[")];
            (stream::body(start, Items::new(found.items), Bytes::from(text), permit), end.links)
        }
        Format::Table(table) => {
            let formula_starts = formula_starts(escape_formulas && table == TableFormat::Csv);
            let written = (table, formula_starts.as_str());
            let (bounds, mut rows) = fetch(warehouse, filter, &page, written, is_ordered, limits).await?;
            // When the first piece arrives, ClickHouse has done most of its work. Until then a failure is an error response.
            let first = rows.next().await?.unwrap_or_default();
            let links = end(bounds.next(), query, filter, &page).links;
            (stream::body(vec![first], rows, Bytes::new(), permit), links)
        }
    };
    let mut response = respond(body, format, &conditions);
    let link = links.next.map(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")));
    if let Some(Ok(link)) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// What follows a page that ends with `next`, if more follow it.
fn end(next: Option<&Key>, query: &str, filter: &Filter, page: &Page) -> End {
    let next_cursor = next.map(|key| cursor::encode(key, filter, page.order));
    let next = next_cursor.as_ref().map(|cursor| next_link(query, cursor));
    End { page: Position { limit: page.limit, skip: page.skip, next_cursor }, links: Links { next } }
}

fn next_link(query: &str, cursor: &str) -> String {
    let kept = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !matches!(name.as_ref(), "skip" | "cursor"));
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(kept).append_pair("cursor", cursor);
    format!("/aggregates?{}", next.finish())
}

/// Refuses a response that would lack rows which were lost with parts of the tables.
fn whole(state: &AppState) -> Result<(), Problem> {
    let lost = state.readiness.lost_parts.borrow();
    if !lost.affects(state.dataset()) {
        return Ok(());
    }
    let detail = "rows are missing until broken parts of the tables are rebuilt; see /readyz";
    // The missing parts were logged when they were found.
    Err(Problem::unavailable("aggregates_incomplete", detail, lost.reason()).expected())
}

/// Waits for a permit to run a query.
pub(in crate::http) async fn permit(state: &AppState) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&state.queries).acquire_owned().await;
    permit.map_err(|error| {
        Problem::unavailable("stopping", "the server is stopping; try again when it is back", error)
    })
}

/// Limits a response to the time of a query.
pub(in crate::http) async fn in_time(
    state: &AppState,
    answer: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let in_time = tokio::time::timeout(state.query_limits.timeout, answer).await;
    in_time.unwrap_or_else(|_| Err(WarehouseError::TimedOut.into()))
}

/// How fresh a response is, and whether the client already has it.
struct Conditions {
    fresh: Fresh,
    entity_tag: String,
    /// The client already has this response.
    is_known: bool,
}

impl Conditions {
    async fn look(state: &AppState, headers: &HeaderMap, format: Format) -> Result<Self, Problem> {
        whole(state)?;
        let mut fresh = state.freshness.recently().await?;
        if headers.contains_key(header::IF_NONE_MATCH) {
            // Whether something has changed depends on what is stored at this moment.
            fresh.version = state.freshness.version_now().await?;
        }
        let entity_tag = format!("\"{:016x}-{}\"", fresh.version.version, format.name());
        let is_known = entity_tag::is_known(headers, &entity_tag);
        Ok(Self { fresh, entity_tag, is_known })
    }

    fn not_modified(&self) -> Response {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        self.add_headers(response.headers_mut());
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        // Weak: the same rows may be sent as other bytes, for example with gzip.
        for (name, value) in
            [(header::ETAG, format!("W/{}", self.entity_tag)), (AS_OF, timestamp::format(self.fresh.as_of))]
        {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

fn respond(body: Body, format: Format, conditions: &Conditions) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Some(extension) = format.extension()
        && let Ok(disposition) =
            HeaderValue::try_from(format!("attachment; filename=\"aggregates.{extension}\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    conditions.add_headers(headers);
    response
}
