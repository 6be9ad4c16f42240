//! `GET /openapi.json`, and `GET /docs`: Swagger UI from our own files, which asks no other host for anything.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, Path};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use super::problems::NoFile;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;

const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");

/// The files of Swagger UI that the page asks for.
const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// The page may ask this server alone, run only our files, and be framed by nobody. Swagger UI has icons in its style sheet (`data:`).
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// How long a browser may keep the page's files.
const KEEP: &str = "public, max-age=3600";

/// The text of the description.
#[derive(Clone, Debug)]
pub struct Document(pub Bytes);

/// This description (OpenAPI 3.1)
#[utoipa::path(
    get, path = "/openapi.json", tag = "description", operation_id = "openapi",
    responses((status = 200, description = "The description", body = Object))
)]
pub async fn description(
    parameters: Parameters,
    Extension(Document(text)): Extension<Document>,
) -> Result<Response, Problem> {
    parameters.finish("none")?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
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
    params(("file" = String, Path, description = "Its name", example = "swagger-ui.css")),
    responses((status = 200, description = "The file", content((Vec<u8> = "text/css"), (Vec<u8> = "text/javascript"), (Vec<u8> = "image/png"))), NoFile)
)]
pub async fn file(Path(name): Path<String>) -> Result<Response, StatusCode> {
    if name == "start.js" {
        return Ok(answer("text/javascript; charset=utf-8", KEEP, START));
    }
    let name = FILES.into_iter().find(|known| *known == name).ok_or(StatusCode::NOT_FOUND)?;
    let found = utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json")));
    let file = found.ok().flatten().ok_or(StatusCode::NOT_FOUND)?;
    Ok(answer(&file.content_type, KEEP, file.bytes.into_owned()))
}

fn answer(content_type: &str, keep: &str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, keep),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
