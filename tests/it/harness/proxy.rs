//! A proxy before ClickHouse's HTTP interface that keeps what passes: which statements a request needs, and what each reads.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;

/// A statement, and how many rows ClickHouse has read for it.
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

/// A running proxy. It ends with the test.
#[derive(Clone, Debug)]
pub struct Proxy {
    target: String,
    pub url: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Proxy {
    /// Starts one before `target`, on a free port.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let proxy = Self { target: target.to_owned(), url, client, seen: Arc::default() };
        let app = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        proxy
    }

    /// Takes what has passed since the last time.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("the list"))
    }

    /// Sends a statement once more, with something before its first comment, and returns the answer.
    pub async fn repeat(&self, seen: &Seen, before: &str) -> String {
        let at = seen.body.windows(3).position(|bytes| bytes == b"-- ").expect("a statement of ours");
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
    // What was read is known at the end, and told before the answer.
    let separator = if path_and_query.contains('?') { '&' } else { '?' };
    let url = format!("{}{path_and_query}{separator}wait_end_of_query=1", proxy.target);
    let mut request = proxy.client.request(parts.method, url).body(body.clone());
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length")
    {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer of ClickHouse");
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
