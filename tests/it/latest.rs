//! The last values in memory: they are those of ClickHouse and of an independent computation, whatever happens to servers and topics.

mod prices;
mod topics;
mod types;

use reqwest::Client;
use serde_json::Value;

use crate::harness::server::Server;

/// Sends parameters to an endpoint. Returns the answer as it is.
async fn ask(server: &Server, path: &str, parameters: &Value) -> String {
    let client = Client::builder().no_proxy().build().unwrap();
    let response = client.post(server.url(path)).json(parameters).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    text
}

/// Asks ClickHouse for the same rows: it writes all formats but JSON. Returns them as the answer in JSON has them.
async fn ask_clickhouse(server: &Server, path: &str, parameters: &Value) -> String {
    let mut parameters = parameters.clone();
    parameters["format"] = "ndjson".into();
    let lines = ask(server, path, &parameters).await;
    let items: Vec<&str> = lines.lines().collect();
    let items = items.join(",");
    format!(
        "{{\"items\":[{items}],\"page\":{{\"limit\":10000,\"next_cursor\":null}},\"links\":{{\"next\":null}}}}"
    )
}

/// Whether requests for whole keys are answered from memory.
async fn answers_from_memory(server: &Server, dataset: &str) -> Option<()> {
    let series = format!("roundhouse_latest_answers{{dataset=\"{dataset}\"}}");
    (server.metric(&series).await == 1.0).then_some(())
}

async fn send_events(server: &Server, dataset: &str, events: &[Value]) {
    let path = format!("/datasets/{dataset}/events");
    let taken = server.send(|http| http.post(server.url(&path)).json(events)).await.ok();
    assert_eq!(taken["accepted"], events.len(), "{taken}");
}
