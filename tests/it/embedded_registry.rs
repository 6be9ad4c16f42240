//! The embedded schema registry, tested with two third-party clients and with plain HTTP.

mod clients;
mod durability;
mod hostile;
mod http;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::part::Part;

/// A registry for one test, and requests to it.
struct Registry {
    part: Part,
    client: reqwest::Client,
    _directory: TempDir,
}

impl Registry {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let part = Part::start("registry", directory.path(), &[]);
        Self { part, client: reqwest::Client::new(), _directory: directory }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.part.url()))
    }

    /// Sends a request, with a JSON body if there is one. Returns the status and the answer.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, None).await
    }

    async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::DELETE, path, None).await
    }

    async fn post_schema(&self, path: &str, schema: &str) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(&json!({ "schema": schema }))).await
    }

    async fn register(&self, subject: &str, schema: &str) -> (StatusCode, Value) {
        self.post_schema(&format!("/subjects/{subject}/versions"), schema).await
    }

    async fn set_level(&self, path: &str, level: &str) -> (StatusCode, Value) {
        self.send(Method::PUT, path, Some(&json!({ "compatibility": level }))).await
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON, with {status}: {text}")))
}

/// Asserts that an answer is a refusal, with an error code that matches its status. Returns the message.
fn refused((status, answer): (StatusCode, Value), code: u64) -> String {
    assert_eq!(answer["error_code"], code, "{status} {answer}");
    assert_eq!(u64::from(status.as_u16()), if code > 999 { code / 100 } else { code }, "{answer}");
    answer["message"].as_str().expect("a message").to_owned()
}

fn accepted((status, answer): (StatusCode, Value)) -> Value {
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Returns a record with fields of these names and types.
fn record(fields: &[(&str, &str)]) -> String {
    let fields: Vec<Value> =
        fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    json!({ "type": "record", "name": "R", "fields": fields }).to_string()
}
