//! `GET /`: where everything answers, as a page for a browser and as JSON for other clients.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::Extension;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::page::{FILE_HEADERS, own_url};
use super::openapi::problems;
use super::parameters::Query;
use super::problem::Problem;
use roundhouse_listener::accept;

const PAGE: &str = include_str!("home.html");

/// The page loads its style sheet and its icon from this server. It runs no script, sends no form, and no other page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Paths of the API and what they are for. The second list needs an API key where the server has any.
const OPEN_PATHS: [(&str, &str, &str); 3] = [
    ("docs", "/docs", "the API: every request, to try it out"),
    ("openapi", "/openapi.json", "the same as OpenAPI 3.1, for Postman and generators"),
    ("ready", "/readyz", "whether every part is ready"),
];
const PATHS: [(&str, &str, &str); 4] = [
    ("uploads", "/uploads", "uploads, newest first"),
    ("aggregates", "/aggregates", "aggregates by hour, player and game"),
    ("reconciliations", "/reconcile", "reconciliations, newest first"),
    ("metrics", "/metrics", "metrics for Prometheus"),
];

/// Where the services answer that this server uses. Without users and passwords.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceAddresses {
    pub kafka_brokers: String,
    pub schema_registry_url: String,
    pub clickhouse_url: String,
}

/// What `GET /` shows of the services; nothing where the server has API keys, since anyone may ask for it.
#[derive(Clone, Debug)]
pub struct Shown(pub Option<Arc<ServiceAddresses>>);

/// Where everything answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Home {
    name: &'static str,
    version: &'static str,
    /// The API, as the client called it.
    api: String,
    /// Only of a server without API keys.
    #[serde(flatten)]
    services: Option<ServiceAddresses>,
    /// Paths of the API by name.
    links: std::collections::BTreeMap<&'static str, &'static str>,
}

/// Shows where everything answers
///
/// A page for a browser, JSON for other clients. A server with API keys does not show the addresses of its services here.
#[utoipa::path(
    get, path = "/", tag = "description", operation_id = "home",
    responses(
        (status = 200, description = "The addresses", content((Home = "application/json"), (String = "text/html"))),
        problems::Parameters
    )
)]
pub async fn home(
    _: Query<()>,
    headers: HeaderMap,
    Extension(Shown(services)): Extension<Shown>,
) -> Result<Response, Problem> {
    let find = |kind: &str| match kind {
        "text/html" | "application/xhtml+xml" | "text/*" => Some(true),
        "application/json" | "application/*" | "*/*" => Some(false),
        _ => None,
    };
    let api = own_url(&headers);
    let mut response = if accept::preferred(&headers, find).unwrap_or(false) {
        let page = page(&api, services.as_deref());
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
        (FILE_HEADERS, headers, page).into_response()
    } else {
        let links = OPEN_PATHS.iter().chain(&PATHS).map(|(name, path, _)| (*name, *path)).collect();
        let services = services.map(|services| (*services).clone());
        Json(Home { name: "roundhouse", version: env!("CARGO_PKG_VERSION"), api, services, links })
            .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, header::HeaderValue::from_static("Accept"));
    Ok(response)
}

/// Writes the page.
fn page(api: &str, services: Option<&ServiceAddresses>) -> String {
    let mut addresses = row("API", api);
    match services {
        Some(ServiceAddresses { kafka_brokers, schema_registry_url, clickhouse_url }) => {
            addresses += &row("Kafka", kafka_brokers);
            addresses += &row("Schema Registry", schema_registry_url);
            addresses += &row("ClickHouse", clickhouse_url);
        }
        None => addresses += &row("Services", "not shown, because this server requires an API key"),
    }
    let key = if services.is_some() { "" } else { " (with an API key)" };
    let links: String = OPEN_PATHS
        .iter()
        .map(|path| (path, ""))
        .chain(PATHS.iter().map(|path| (path, key)))
        .fold(String::new(), |mut links, ((_, path, about), key)| {
            // Writing to memory cannot fail.
            let _ = writeln!(links, "<li><a href=\"{path}\">{path}</a> {about}{key}</li>");
            links
        });
    PAGE.replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{addresses}", &addresses)
        .replace("{links}", &links)
        .replace("{examples}", &escaped(&examples(api, services.is_none())))
}

/// Returns commands to try the API with, one a line. The page shows them, and `serve` when it is ready.
pub fn examples(api: &str, needs_key: bool) -> String {
    let key = if needs_key { "-H 'X-API-Key: YOUR-KEY' " } else { "" };
    format!(
        "roundhouse generate -o rounds.csv\n\
         curl {key}-F file=@rounds.csv '{api}/uploadcsv?wait=visible'\n\
         curl {key}'{api}/aggregates?limit=3'\n\
         curl {key}-F file=@rounds.csv {api}/reconcile\n"
    )
}

fn row(name: &str, value: &str) -> String {
    format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(value))
}

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_text_in_the_page_whatever_is_in_them() {
        let services = ServiceAddresses {
            kafka_brokers: "<script>alert(\"x\")</script>&".to_owned(),
            schema_registry_url: "{api}".to_owned(),
            clickhouse_url: "http://localhost:8123".to_owned(),
        };
        let page = page("http://localhost:8000", Some(&services));
        assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
}
