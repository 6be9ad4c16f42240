//! The formats of a page, and the headers for caches and clients.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::files::csv;
use crate::harness::repository;
use crate::harness::server::Server;

/// Reads Arrow and Parquet with pyarrow, the most common library for them.
fn pyarrow(kind: &str, file: &Path) -> Value {
    let script = r#"
import datetime, decimal, json, sys
import pyarrow, pyarrow.parquet
kind, path = sys.argv[1:]
table = pyarrow.ipc.open_stream(path).read_all() if kind == "arrow" else pyarrow.parquet.read_table(path)
def plain(value):
    if isinstance(value, decimal.Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime.datetime):
        assert value.utcoffset() == datetime.timedelta(0), value
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value
types = {field.name: str(field.type) for field in table.schema}
print(json.dumps({"types": types, "items": [{k: plain(v) for k, v in row.items()} for row in table.to_pylist()]}))
"#;
    let python = repository().join("tests/clients/.venv/bin/python");
    let output = Command::new(python).args(["-c", script, kind]).arg(file).output().expect("run Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_the_same_rows() {
    let server = Server::start(&[]).await;
    server.upload(csv(0..9000), "wait=visible").await.ok();
    let json = server.get("/aggregates").await.ok()["items"].clone();
    assert_eq!(json.as_array().unwrap().len(), 3);

    let ndjson = server.get("/aggregates?format=ndjson").await;
    assert_eq!(ndjson.headers["content-type"], "application/x-ndjson");
    let lines = ndjson.body.as_str().expect("text");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::from(lines), json);

    let text = server.send(|http| http.get(server.url("/aggregates")).header("accept", "text/csv")).await;
    assert_eq!(text.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(text.headers["content-disposition"], "attachment; filename=\"aggregates.csv\"");
    let text = text.body.as_str().expect("text").to_owned();
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    assert_eq!(names.len(), json[0].as_object().unwrap().len());
    for (record, item) in reader.records().zip(json.as_array().unwrap()) {
        for (name, field) in names.iter().zip(&record.unwrap()) {
            let expected = item[name].as_str().map_or_else(|| item[name].to_string(), str::to_owned);
            assert_eq!(field, expected, "{name}");
        }
    }

    let directory = tempfile::tempdir().unwrap();
    for (format, kind) in
        [("arrow", "application/vnd.apache.arrow.stream"), ("parquet", "application/vnd.apache.parquet")]
    {
        for (query, expected) in [("", &json), ("&player_id=nobody", &json!([]))] {
            let url = server.url(&format!("/aggregates?format={format}{query}"));
            let answer =
                reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], kind);
            let file = directory.path().join(format);
            std::fs::write(&file, answer.bytes().await.unwrap()).unwrap();
            let read = pyarrow(format, &file);
            assert_eq!(read["items"], *expected, "{format}");
            assert_eq!(read["types"]["net"], "decimal128(38, 8)", "{read}");
            assert_eq!(read["types"]["player_id"], "string", "{read}");
            assert!(read["types"]["created_hour"].as_str().unwrap().starts_with("timestamp"), "{read}");
        }
    }
    let problem = server.get("/aggregates?format=xml").await.problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "format");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_how_fresh_it_is_and_links_to_the_next_page() {
    let server = Server::start(&[]).await;
    let before = chrono::Utc::now();
    let receipt = server.upload(csv(0..9000), "wait=visible").await.ok();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let page = server.get("/aggregates?limit=2&sort=-game_id").await;
    assert_eq!(page.headers["cache-control"], "private, no-cache");
    let as_of = page.headers["roundhouse-as-of"].to_str().unwrap();
    let as_of = chrono::DateTime::parse_from_rfc3339(as_of).unwrap();
    assert!(as_of > before && as_of <= chrono::Utc::now(), "{as_of} {receipt:#}");
    let next = page.body["links"]["next"].as_str().unwrap();
    assert_eq!(page.headers["link"], format!("<{next}>; rel=\"next\""));
    assert!(next.contains("limit=2") && next.contains("sort=-game_id"), "{next}");
    let last = server.get(next).await;
    assert!(last.headers.get("link").is_none() && last.body["page"]["next_cursor"].is_null());

    let tag = page.headers["etag"].to_str().unwrap().to_owned();
    let again = async |query: &str| {
        let url = server.url(&format!("/aggregates?{query}"));
        server.send(|http| http.get(url).header("if-none-match", &tag)).await
    };
    let known = again("limit=2&sort=-game_id").await;
    assert_eq!((known.status, known.body.as_str()), (304, Some("")));
    assert_eq!(known.headers["etag"], tag.as_str());
    // Another format has another ETag.
    assert_eq!(again("limit=2&sort=-game_id&format=csv").await.status, 200);
    let summary = server.get("/aggregates/summary").await;
    let summary_tag = summary.headers["etag"].to_str().unwrap();
    let url = server.url("/aggregates/summary");
    assert_eq!(server.send(|http| http.get(url).header("if-none-match", summary_tag)).await.status, 304);
    // A conditional request sees new data at once.
    server.upload(csv(9000..9100), "wait=visible").await.ok();
    let changed = again("limit=2&sort=-game_id").await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.headers["etag"], tag.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_if_rows_are_not_loaded_yet() {
    let server = Server::start(&["--loader", "none"]).await;
    let before = chrono::Utc::now();
    server.upload(csv(0..100), "").await.ok();
    let acknowledged = chrono::Utc::now();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let asked = std::time::Instant::now();
    let page = server.get("/aggregates").await;
    // This was determined while the request was answered.
    let exactness = chrono::TimeDelta::seconds(1) + chrono::TimeDelta::from_std(asked.elapsed()).unwrap();
    let as_of =
        chrono::DateTime::parse_from_rfc3339(page.headers["roundhouse-as-of"].to_str().unwrap()).unwrap();
    assert!(as_of > before - exactness && as_of < acknowledged, "{before} {as_of} {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_page_is_compressed_if_the_client_accepts_it() {
    let server = Server::start(&[]).await;
    server
        .clickhouse(
            "INSERT INTO hourly_aggregates SELECT toDateTime(1571702400 + 3600 * number, 'UTC'), 'p', 1, 'g', 'p', 1, 1, 0, 0, 0 \
             FROM numbers(10000)",
        )
        .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = server.url("/aggregates?limit=10000");
    let plain = client.get(&url).send().await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none());
    let plain = plain.bytes().await.unwrap();
    let packed = client.get(&url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() * 5 < plain.len(), "{} of {}", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}
