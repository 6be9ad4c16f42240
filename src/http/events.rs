//! `POST /datasets/NAME/events`.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::body::{decompressed, file_format};
use super::openapi::problems;
use super::problem::Problem;
use super::state::AppState;
use crate::ingest::format::FileFormat;
use crate::ingest::rows::{ReadOptions, Reject};
use crate::ingest::upload::events::MAX_EVENTS_BYTES;

/// The result of a request with events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsView {
    /// Events that Kafka has acknowledged.
    accepted: u64,
    /// Events that are not valid. They are in the dead letter topic.
    rejected: u64,
    /// The first 1,000 rejected events.
    rejects: Vec<Reject>,
}

/// The body of a request with events.
struct EventsBody;

impl PartialSchema for EventsBody {
    fn schema() -> RefOr<Schema> {
        let one = ObjectBuilder::new().schema_type(Type::Object);
        // An element that is no event is rejected like a wrong event; the others count.
        let several = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(SchemaType::AnyValue));
        OneOfBuilder::new().item(several).item(one).description(Some("Events, or one event")).into()
    }
}

impl ToSchema for EventsBody {}

/// Send events
///
/// For programs that send rows many times a second: at most 50,000 events and 16 MiB (decompressed), as a JSON array, as one object, or as
/// NDJSON. Responds once Kafka has acknowledged all of them. Events are no upload: they are not in `GET /uploads`, and sending the same
/// ones again sends them again. If the response is an error, some events may have been sent.
#[utoipa::path(
    post, path = "/events", tag = "uploads", operation_id = "send_events",
    request_body(
        description = "The events",
        content((EventsBody = "application/json"), (String = "application/x-ndjson"))
    ),
    responses((status = 200, description = "How many events were accepted and rejected", body = EventsView), problems::Events)
)]
pub async fn take(State(state): State<AppState>, request: Request) -> Result<Json<EventsView>, Problem> {
    let (parts, body) = request.into_parts();
    let format = match file_format(&parts.headers) {
        FileFormat::NdJson => FileFormat::NdJson,
        _ => FileFormat::Json,
    };
    let body = decompressed(&parts.headers, body, MAX_EVENTS_BYTES)?;
    let read = ReadOptions { format, ..ReadOptions::default() };
    let finished = state.uploader.take_events(read, body).await?;
    let (accepted, rejected) = (finished.row.accepted, finished.row.rejected);
    Ok(Json(EventsView { accepted, rejected, rejects: finished.rejects }))
}
