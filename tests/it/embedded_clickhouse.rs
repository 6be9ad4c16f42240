//! The embedded ClickHouse over its HTTP interface, as curl and as its clients use it.

mod access;
mod clients;
mod column_types;
mod durability;
mod interface;
mod limits;
#[cfg(target_os = "linux")]
mod sandbox;
mod state;
mod statements;

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use tempfile::TempDir;

use super::harness::part::Part;

/// A running embedded ClickHouse in a temporary directory.
struct ClickHouse {
    part: Part,
    http: reqwest::Client,
    directory: TempDir,
}

/// An answer, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// The connection ended before the body did.
    broken: bool,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Asserts that it is an exception of this code, and returns its text.
    fn exception(&self, code: u32, status: u16) -> &str {
        let text = self.text();
        assert_eq!(self.header("x-clickhouse-exception-code"), code.to_string(), "{text}");
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")) && text.ends_with(")\n"),
            "{text}"
        );
        text
    }
}

impl ClickHouse {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("temporary directory"), arguments)
    }

    fn start_in(directory: TempDir, arguments: &[&str]) -> Self {
        let part = Part::start("clickhouse", directory.path(), arguments);
        // Tests kill the process, so no connection is reused.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("client");
        Self { part, http, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn request(&self, method: Method, parameters: &[(&str, &str)]) -> RequestBuilder {
        let url = format!("{}/", self.part.url());
        self.http.request(method, url).query(parameters).timeout(Duration::from_secs(120))
    }

    async fn post(&self, parameters: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        read(self.request(Method::POST, parameters).body(body)).await
    }

    async fn get(&self, parameters: &[(&str, &str)]) -> Reply {
        read(self.request(Method::GET, parameters)).await
    }

    /// Runs a statement that must succeed, and returns its result without the last line's end.
    async fn sql(&self, text: &str) -> String {
        let reply = self.post(&[], text.to_owned()).await;
        assert_eq!(reply.status, StatusCode::OK, "{text}: {}", reply.text());
        reply.text().trim_end_matches('\n').to_owned()
    }

    /// Repeats a query until it returns the expected result.
    async fn eventually(&self, question: &str, expected: &str) {
        let mut answer = String::new();
        for _ in 0..400 {
            answer = self.sql(question).await;
            if answer == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{question}: {answer}, not {expected}");
    }
}

async fn read(request: RequestBuilder) -> Reply {
    let mut response = request.send().await.expect("response");
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Reply { status, headers, body, broken: false },
            Err(_) => return Reply { status, headers, body, broken: true },
        }
    }
}

/// A query that counts the other running queries.
fn running(condition: &str) -> String {
    format!("SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%' AND {condition}")
}
