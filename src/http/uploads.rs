//! `GET /uploads` and `GET /uploads/{id}`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::newest::{Links, Newest, Position};
use super::openapi::parameters::Id;
use super::openapi::problems;
use super::parameters::Query;
use super::problem::Problem;
use super::state::AppState;
use super::upload_view::{Seen, UploadView, look};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::{LedgerRow, LedgerState, Loaded, LoadedWithGaps};
use crate::warehouse::visibility::wait_until_found;

/// A page of uploads, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadsPage)]
pub struct Page {
    items: Vec<UploadView>,
    page: Position,
    links: Links,
}

/// List uploads, newest first
#[utoipa::path(
    get, path = "/uploads", tag = "uploads", operation_id = "list_uploads", params(Newest),
    responses((status = 200, description = "A page of uploads", body = Page), problems::Query)
)]
pub async fn list(
    State(state): State<AppState>,
    Query(newest): Query<Newest>,
) -> Result<Json<Page>, Problem> {
    let topic = state.uploader.topic();
    // At once: ClickHouse takes longer to plan each of them than to read it.
    let (mut rows, loaded) = tokio::try_join!(
        async {
            Ok(state
                .uploader
                .ledger
                .page(&state.dataset().name, newest.before(), newest.wanted() as usize)
                .await?)
        },
        async { Ok::<_, Problem>(loaded_with_gaps(&state, topic).await?) },
    )?;
    let (page, links) = newest.cut(&state.path("/uploads"), &mut rows, |row| row.upload_id);
    let mut by_topic = BTreeMap::from([(topic.to_owned(), loaded)]);
    let mut items = Vec::new();
    for row in &rows {
        let view = UploadView::of(row, state.uploader.columns());
        if row.state != LedgerState::Acknowledged {
            items.push(view);
            continue;
        }
        if !by_topic.contains_key(&row.topic) {
            by_topic.insert(row.topic.clone(), loaded_with_gaps(&state, &row.topic).await?);
        }
        let seen = match by_topic.get(&row.topic) {
            Some(found) if found.gap(&row.offsets, row.updated_at).is_some() => {
                look(&state.warehouse, row, found).await?.map(Seen::without_counts)
            }
            Some(found) if found.loaded.has(&row.offsets, row.updated_at) => Some(Seen::default()),
            _ => None,
        };
        items.push(view.seen(seen));
    }
    Ok(Json(Page { items, page, links }))
}

async fn loaded_with_gaps(state: &AppState, topic: &str) -> Result<LoadedWithGaps, WarehouseError> {
    Loaded::of_topic(&state.warehouse, topic).await?.with_gaps(&state.warehouse, topic).await
}

/// Get an upload's status
///
/// `receiving` with its progress, then `acknowledged`, then `visible` with the counts of its rows; or `failed` with the reason.
#[utoipa::path(
    get, path = "/uploads/{id}", tag = "uploads", operation_id = "show_upload", params(Id),
    responses((status = 200, description = "The upload", body = UploadView), problems::NoUpload)
)]
pub async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Query<()>,
) -> Result<Json<UploadView>, Problem> {
    let row = find(&state, &id).await?;
    let seen = look_once(&state, &row).await?;
    Ok(Json(UploadView::of(&row, state.uploader.columns()).seen(seen)))
}

/// Returns an upload by the id in a path.
pub async fn find(state: &AppState, id: &str) -> Result<LedgerRow, Problem> {
    let no_such_upload = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_upload",
            "there is no upload with this id; GET /uploads lists them",
        )
    };
    let id = Uuid::try_parse(id).map_err(|_| no_such_upload())?;
    state.uploader.upload(id).await?.ok_or_else(no_such_upload)
}

async fn look_once(state: &AppState, row: &LedgerRow) -> Result<Option<Seen>, WarehouseError> {
    if row.state != LedgerState::Acknowledged {
        return Ok(None);
    }
    let loaded = Loaded::of_topic(&state.warehouse, &row.topic).await?;
    // Before the gaps are read: most turns of a wait end here.
    if !loaded.has(&row.offsets, row.updated_at) {
        return Ok(None);
    }
    look(&state.warehouse, row, &loaded.with_gaps(&state.warehouse, &row.topic).await?).await
}

/// Waits until an acknowledged upload is visible, up to a limit and until the server stops. Returns the counts of its rows if it is.
pub async fn wait_until_visible(state: &AppState, row: &LedgerRow) -> Result<Option<Seen>, WarehouseError> {
    let seen = wait_until_found(state.visible_timeout, || look_once(state, row));
    state.stopping.run_until_cancelled(seen).await.unwrap_or(Ok(None))
}
