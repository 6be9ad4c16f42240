//! The description of the API (OpenAPI 3.1). The router collects it with the handlers, so that every route is described. `/docs` shows it
//! ([`page`]).

mod examples;
pub mod files;
pub mod page;
pub mod parameters;
pub mod problems;
mod tidy;

use serde_json::{Map, Value};
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Schema};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use self::files::Files;
use self::parameters::{ContentEncoding, DatasetName};
use self::problems::Unauthorized;
use crate::http::parameters::describe::one_of;
use crate::http::problem::ProblemBody;

/// The introduction of the description.
const ABOUT: &str = "Loads CSV files of game rounds through Kafka into ClickHouse, each round exactly once, serves hourly aggregates, and checks \
     that every valid row of a file is stored. Times are RFC 3339 in UTC; money is a decimal string. An error is \
     `application/problem+json` (RFC 9457) with a stable `code`. Paths work with and without a trailing slash. Those of game rounds are also \
     below `/datasets/bets`, where `POST /datasets/bets/rows` is `POST /uploadcsv`.";

/// Groups of operations, in the order in which they are shown.
const TAGS: [(&str, &str); 8] = [
    ("uploads", "Upload files, and see the result of each row"),
    ("aggregates", "Bets, wins and net per hour, player and game"),
    ("datasets", "Kinds of rows: their tables, and how many rows are stored, missing and rejected"),
    ("endpoints", "Queries of datasets, each in an SQL file"),
    ("checks", "Queries that verify the data of datasets, each in an SQL file"),
    ("reconciliation", "Check that every valid row of a file is stored, and repair differences"),
    ("operations", "Health and metrics of the server"),
    ("description", "The addresses, this description, and the page that shows it"),
];

/// Names of the two ways to carry an API key.
const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";

/// Describes the body of a handler that takes a file, or a form with files.
pub fn taking<S>(files: Files, (schemas, mut paths, route): UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    for operation in operations(&mut paths) {
        operation.request_body = Some(files.request_body().into());
        let parameters = ContentEncoding::into_params(|| None).into_iter().map(RefOr::T);
        operation.parameters.get_or_insert_default().extend(parameters);
    }
    (schemas, paths, route)
}

/// Describes a handler whose answer no struct of its own describes: adds the schema to which its description refers.
pub fn answering<T: ToSchema, S>((mut known, paths, route): UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    known.extend(schemas::<T>());
    (known, paths, route)
}

/// Adds the name of a dataset to the tags and ids of its operations.
pub fn named(dataset: &str, mut part: OpenApiRouter<()>) -> OpenApiRouter<()> {
    for operation in operations(&mut part.get_openapi_mut().paths) {
        operation.tags = Some(vec![format!("dataset {dataset}")]);
        if let Some(id) = &mut operation.operation_id {
            *id = format!("{dataset}_{id}");
        }
    }
    part
}

/// Says which datasets there are, where a path names one.
pub fn naming(datasets: &[&str], mut part: OpenApiRouter<()>) -> OpenApiRouter<()> {
    let all =
        operations(&mut part.get_openapi_mut().paths).flat_map(|one| one.parameters.iter_mut().flatten());
    for parameter in all {
        if let RefOr::T(parameter) = parameter
            && parameter.name == DatasetName::NAME
        {
            parameter.schema = Some(one_of(datasets.iter().copied()).into());
        }
    }
    part
}

/// All operations of some paths.
fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, options, head, patch, trace, query, .. } = item;
        [get, put, post, delete, options, head, patch, trace, query].into_iter().flatten()
    })
}

/// The description without operations.
fn document() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Roundhouse")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    let none: [&str; 0] = [];
    let key = || {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-Key",
            "The key by itself",
        )))
    };
    let bearer = || {
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The key as a bearer token"))
            .build()
    };
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas::<ProblemBody>())
        .security_scheme(BEARER, SecurityScheme::Http(bearer()))
        .security_scheme(API_KEY, key());
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .components(Some(components.build()))
        // A server on loopback may have no keys, and then needs none.
        .security(Some([
            SecurityRequirement::new(BEARER, none),
            SecurityRequirement::new(API_KEY, none),
            SecurityRequirement::default(),
        ]))
        .build()
}

/// A schema that no attribute names, and the schemas that it refers to.
fn schemas<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    schemas
}

/// Writes the text of `/openapi.json`. `keyed`: the routes that need an API key, if the server has any; it names no way to send one if it
/// has none. `endpoints`: the paths of the endpoints of datasets, which need one too.
pub fn text(
    mut keyed: OpenApi,
    mut open: OpenApi,
    endpoints: Map<String, Value>,
    has_keys: bool,
) -> serde_json::Result<String> {
    for operation in operations(&mut keyed.paths) {
        operation.responses.responses.extend(Unauthorized::responses());
    }
    for operation in operations(&mut open.paths) {
        operation.security = Some(Vec::new());
    }
    let mut whole = document();
    whole.merge(keyed);
    whole.merge(open);
    if !has_keys {
        whole.security = None;
        whole.components.get_or_insert_default().security_schemes.clear();
    }
    let mut whole = serde_json::to_value(whole)?;
    examples::add(&mut whole)?;
    tidy::tidy(&mut whole);
    // They are described from files, not from structs: null stays where it is described.
    if let Some(paths) = whole["paths"].as_object_mut() {
        paths.extend(endpoints);
    }
    serde_json::to_string(&whole)
}
