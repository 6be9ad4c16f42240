//! The description of the API (OpenAPI 3.1), made from the handlers. [`Api`] is both the router and the description, so that every route
//! is described. `/docs` shows it ([`page`]).

pub mod answers;
mod examples;
pub mod files;
pub mod page;
pub mod parameters;
pub mod problems;
mod tidy;

use std::fmt;

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Router, middleware};
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Schema};
use utoipa::{IntoResponses, Path, ToSchema};

use self::files::Files;
use self::problems::Unauthorized;
use crate::http::deadline::answer_in_time;
use crate::http::problem::ProblemBody;
use crate::http::state::AppState;

/// The introduction of the description.
const ABOUT: &str = "Loads CSV files of game rounds through Kafka into ClickHouse, each row exactly once, serves hourly aggregates, and checks \
     that every valid row of a file is stored. Times are RFC 3339 in UTC; money is a decimal string. An error is \
     `application/problem+json` (RFC 9457) with a stable `code`. Paths work with and without a trailing slash.";

/// Groups of operations, in the order in which they are shown.
const TAGS: [(&str, &str); 5] = [
    ("uploads", "Upload files, and see the result of each row"),
    ("aggregates", "Bets, wins and net per hour, player and game"),
    ("reconciliation", "Check that every valid row of a file is stored, and repair differences"),
    ("operations", "Health and metrics of the server"),
    ("description", "The addresses, this description, and the page that shows it"),
];

/// Names of the two ways to carry an API key.
const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";

/// Routes and their description. Each route comes from the `#[utoipa::path]` of its handler.
pub struct Api {
    router: Router<AppState>,
    document: OpenApi,
    asks_for_key: bool,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Api {
    /// Routes that need an API key, if the server has any.
    pub fn behind_key() -> Self {
        Self { router: Router::new(), document: document(), asks_for_key: true }
    }

    /// Routes that need no API key.
    pub fn open() -> Self {
        Self { router: Router::new(), document: document(), asks_for_key: false }
    }

    /// Adds a handler at the path of its description (`__path_…`, made by `#[utoipa::path]`), with a time limit.
    pub fn route<D, H, T>(self, description: D, handler: H) -> Self
    where
        D: Description,
        H: Handler<T, AppState>,
        T: 'static,
    {
        let route = on(methods::<D>(), handler).layer(middleware::from_fn(answer_in_time));
        self.add(description, route, D::operation())
    }

    /// Adds a handler that takes a file as its body, or a form with files. It limits the bytes itself.
    pub fn taking<D, H, T>(self, files: Files, description: D, handler: H) -> Self
    where
        D: Description,
        H: Handler<T, AppState>,
        T: 'static,
    {
        let route = on(methods::<D>(), handler).layer(DefaultBodyLimit::disable());
        let mut operation = D::operation();
        operation.request_body = Some(files.request_body());
        operation.parameters.get_or_insert_default().push(files::content_encoding());
        self.add(description, route, operation)
    }

    fn add<D: Description>(mut self, _: D, route: MethodRouter<AppState>, mut operation: Operation) -> Self {
        if self.asks_for_key {
            operation.responses.responses.extend(Unauthorized::responses());
        } else {
            operation.security = Some(Vec::new());
        }
        operation.tags = Some(D::tags().into_iter().map(str::to_owned).collect());
        self.document.paths.add_path_operation(D::path(), D::methods(), operation);
        let mut schemas = Vec::new();
        D::schemas(&mut schemas);
        self.document.components.get_or_insert_default().schemas.extend(schemas);
        self.router = self.router.route(&D::path(), route);
        self
    }

    /// Returns the routes and the description.
    pub fn into_parts(self) -> (Router<AppState>, OpenApi) {
        (self.router, self.document)
    }
}

/// The description that `#[utoipa::path]` makes of a handler.
pub trait Description: Path + SchemaReferences + for<'t> Tags<'t> {}

impl<D: Path + SchemaReferences + for<'t> Tags<'t>> Description for D {}

fn methods<D: Path>() -> MethodFilter {
    let filter = |method: &HttpMethod| match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    };
    // utoipa asks for one method at least.
    D::methods().iter().map(filter).reduce(MethodFilter::or).unwrap_or(MethodFilter::GET)
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
        .schemas_from_iter(schemas::<answers::AggregatesPage>())
        .schemas_from_iter(schemas::<answers::AggregatesSummary>())
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

/// Writes the text of `/openapi.json` from its parts. A server without API keys names no way to send one.
pub fn text(parts: impl IntoIterator<Item = OpenApi>, has_keys: bool) -> serde_json::Result<String> {
    let mut whole = document();
    parts.into_iter().for_each(|part| whole.merge(part));
    if !has_keys {
        whole.security = None;
        whole.components.get_or_insert_default().security_schemes.clear();
    }
    let mut whole = serde_json::to_value(whole)?;
    examples::add(&mut whole)?;
    tidy::tidy(&mut whole);
    serde_json::to_string(&whole)
}
