//! Describes responses that are written piece by piece, or by ClickHouse: no handler returns a struct for them.

use std::collections::BTreeMap;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, Response, Schema};
use utoipa::{IntoResponses, ToSchema};

use super::items::Item;
use super::{Links, Position};

/// A page of aggregates, its position, and that of the next one.
#[derive(Debug, ToSchema)]
pub struct AggregatesPage {
    pub items: Vec<Item>,
    pub page: Position,
    pub links: Links,
}

/// The responses of `GET /aggregates`.
#[derive(Debug)]
pub struct Aggregates;

impl IntoResponses for Aggregates {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let text = || {
            ContentBuilder::new()
                .schema(Some(Schema::from(ObjectBuilder::new().schema_type(Type::String))))
                .build()
        };
        let binary = || {
            let schema = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
            ContentBuilder::new().schema(Some(Schema::from(schema))).build()
        };
        let json = ContentBuilder::new().schema(Some(Ref::from_schema_name(AggregatesPage::name()))).build();
        let page = fresh("A page of rows")
            .content("application/json", json)
            .content("text/csv", text())
            .content("application/x-ndjson", text())
            .content("application/vnd.apache.arrow.stream", binary())
            .content("application/vnd.apache.parquet", binary())
            .header("Link", header("The next page, `rel=\"next\"`, if there is one"));
        with_not_modified(page)
    }
}

/// Describes an answer, and the one for a client that has it already.
pub(super) fn with_not_modified(answer: ResponseBuilder) -> BTreeMap<String, RefOr<Response>> {
    let unchanged = fresh("Nothing has changed since the response with that `ETag`");
    [("200", answer), ("304", unchanged)]
        .map(|(status, answer)| (status.to_owned(), answer.build().into()))
        .into()
}

/// A response that says how fresh it is.
pub(super) fn fresh(about: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(about)
        .header("ETag", header("Changes with what is stored"))
        .header("Cache-Control", header("The client may cache the response, and must revalidate it"))
        .header("Roundhouse-As-Of", header("All rows that were acknowledged before this time are included"))
}

fn header(about: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(about))
        .build()
}
