//! `GET /openapi.json`, and `GET /docs`: Swagger UI, served from this binary. It loads nothing from other hosts.

use std::sync::Arc;

use axum::extract::{Extension, Path};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use super::parameters::outside_query;
use super::problems::NoFile;
use crate::http::parameters::Query;
use crate::http::parameters::describe::one_of;
use crate::http::problem::Problem;

const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");

/// Dark colours, and what a narrow window needs.
const STYLE: &str = include_str!("page.css");

/// The style sheet of the page at `/`.
const HOME_STYLE: &str = include_str!("../home.css");

/// The files of Swagger UI that the page loads.
const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

outside_query!(
    /// The name of a file of the pages.
    PageFile: Path, "file", "The file's name", one_of(FILES)
);

/// The page may send requests to this server only, run only its own files, and no other page may frame it. Swagger UI has icons in its
/// style sheet (`data:`).
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// How long a browser may cache the page's files.
const KEEP: &str = "public, max-age=3600";

/// The text of the description, as JSON, without `servers`.
#[derive(Clone, Debug)]
pub struct Document(pub Arc<str>);

impl Document {
    /// Returns the description with the URL of this server, which clients such as Postman send their requests to.
    fn with_server(&self, url: &str) -> String {
        let servers = serde_json::json!([{ "url": url }]);
        let members = self.0.strip_prefix('{').unwrap_or(&self.0);
        format!("{{\"servers\":{servers},{members}")
    }
}

/// Returns the URL of this server as the client called it. The guard has checked the `Host` header. Behind a proxy,
/// `X-Forwarded-Proto` names the scheme.
pub fn own_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_https = text("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let scheme = if is_https { "https" } else { "http" };
    // Only HTTP/1.0 has no Host header.
    text("host").map_or_else(|| "/".to_owned(), |host| format!("{scheme}://{host}"))
}

/// This description (OpenAPI 3.1)
#[utoipa::path(
    get, path = "/openapi.json", tag = "description", operation_id = "openapi",
    responses((status = 200, description = "The description", body = Object))
)]
pub async fn description(
    _: Query<()>,
    headers: HeaderMap,
    Extension(document): Extension<Document>,
) -> Result<Response, Problem> {
    // A page of this server sends its requests to where the page came from, whatever a proxy did to the scheme.
    let is_own_page = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let url = if is_own_page { "/".to_owned() } else { own_url(&headers) };
    let answer = [
        (header::CONTENT_TYPE, "application/json"),
        (header::VARY, "Host, Sec-Fetch-Site, X-Forwarded-Proto"),
    ];
    Ok((answer, document.with_server(&url)).into_response())
}

/// A page that shows this description, and tries it out
#[utoipa::path(
    get, path = "/docs", tag = "description",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub async fn page() -> Response {
    answer("text/html; charset=utf-8", "no-cache", PAGE)
}

/// A file of that page
#[utoipa::path(
    get, path = "/docs/{file}", tag = "description", operation_id = "page_file",
    params(PageFile),
    responses((status = 200, description = "The file", content((Vec<u8> = "text/css"), (Vec<u8> = "text/javascript"), (Vec<u8> = "image/png"))), NoFile)
)]
pub async fn file(Path(name): Path<String>) -> Result<Response, StatusCode> {
    match name.as_str() {
        "start.js" => return Ok(answer("text/javascript; charset=utf-8", KEEP, START)),
        "page.css" => return Ok(answer("text/css; charset=utf-8", KEEP, STYLE)),
        "home.css" => return Ok(answer("text/css; charset=utf-8", KEEP, HOME_STYLE)),
        _ => {}
    }
    let name = FILES.into_iter().find(|known| *known == name).ok_or(StatusCode::NOT_FOUND)?;
    let found = utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json")));
    let file = found.ok().flatten().ok_or(StatusCode::NOT_FOUND)?;
    Ok(answer(&file.content_type, KEEP, file.bytes.into_owned()))
}

/// Headers of every page and of its files.
pub const FILE_HEADERS: [(HeaderName, &str); 2] =
    [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "no-referrer")];

fn answer(content_type: &str, keep: &str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, keep),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (FILE_HEADERS, headers, body).into_response()
}
