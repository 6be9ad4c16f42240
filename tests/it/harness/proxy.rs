//! A proxy in front of ClickHouse's HTTP interface or of a registry. It records what passes (the statements of a request, and how much each
//! one reads). It can also answer some requests itself, like a service that refuses them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use tokio::net::TcpListener;

/// A statement, and how many rows ClickHouse read for it.
#[derive(Clone, Debug)]
pub struct Seen {
    path_and_query: String,
    content_type: Option<String>,
    body: Bytes,
    pub read_rows: u64,
}

impl Seen {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Returns a status and body to answer instead of the service, or none to forward the request.
type Rule = Arc<dyn Fn(&Parts, &[u8]) -> Option<(u16, String)> + Send + Sync>;

/// Headers that are not forwarded: those of this connection, and credentials, which the service does not need.
const OWN_HEADERS: [&str; 5] =
    ["host", "content-length", "authorization", "x-clickhouse-user", "x-clickhouse-key"];

/// A running proxy. It ends with the test.
#[derive(Clone)]
pub struct Proxy {
    target: String,
    pub url: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
    rule: Rule,
}

impl Proxy {
    /// Starts a proxy in front of `target`, on a free port.
    pub async fn start(target: &str) -> Self {
        Self::with_rule(target, |_, _| None).await
    }

    /// Starts a proxy that answers the requests for which the rule returns an answer.
    pub async fn with_rule(
        target: &str,
        rule: impl Fn(&Parts, &[u8]) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let proxy =
            Self { target: target.to_owned(), url, client, seen: Arc::default(), rule: Arc::new(rule) };
        let app = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        proxy
    }

    /// Returns what has passed since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("the list"))
    }

    /// Sends a statement again, with `before` inserted in front of its first comment. Returns the answer.
    pub async fn repeat(&self, seen: &Seen, before: &str) -> String {
        let at = seen.body.windows(3).position(|bytes| bytes == b"-- ").expect("a statement of Roundhouse");
        let body = [&seen.body[..at], before.as_bytes(), b" ", &seen.body[at..]].concat();
        let mut request = self.client.post(format!("{}{}", self.target, seen.path_and_query)).body(body);
        if let Some(content_type) = &seen.content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("the answer");
        assert!(status.is_success(), "{text}");
        text
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let content_type =
        parts.headers.get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the body");
    if let Some((status, text)) = (proxy.rule)(&parts, &body) {
        return Response::builder().status(status).body(Body::from(text)).expect("a response");
    }
    // ClickHouse knows the number of rows at the end. This makes it send that number before the answer.
    let wait = if path_and_query.starts_with("/?") { "&wait_end_of_query=1" } else { "" };
    let url = format!("{}{path_and_query}{wait}", proxy.target);
    let mut request = proxy.client.request(parts.method, url).body(body.clone());
    for (name, value) in parts.headers.iter().filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str())) {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer of the service");
    let summary = answer.headers().get("x-clickhouse-summary").and_then(|value| value.to_str().ok());
    let summary: serde_json::Value = serde_json::from_str(summary.unwrap_or("{}")).expect("JSON");
    let read_rows = summary["read_rows"].as_str().and_then(|rows| rows.parse().ok()).unwrap_or_default();
    proxy.seen.lock().expect("the list").push(Seen { path_and_query, content_type, body, read_rows });
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.expect("the answer"))).expect("a response")
}
