//! `GET /metrics`.

use crate::harness::files::{csv, line};
use crate::harness::process::until;
use crate::harness::server::Server;

/// Returns the value of a series.
async fn series(server: &Server, name: &str) -> f64 {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let text = answer.body.as_str().expect("text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_counted() {
    let server = Server::start(&[]).await;
    let file = format!("{}{}", csv(0..100), line(100, "x"));
    server.upload(file.clone(), "").await.ok();
    server.upload(file.clone(), "").await.ok();
    server.upload("nothing of ours\n", "").await;
    server.get("/nowhere").await;
    for (name, value) in [
        ("roundhouse_upload_rows_total", 101.0),
        ("roundhouse_acknowledged_rows_total", 100.0),
        ("roundhouse_rejected_rows_total{code=\"not_a_decimal\"}", 1.0),
        ("roundhouse_uploads_total{state=\"acknowledged\"}", 1.0),
        ("roundhouse_uploads_total{state=\"duplicate\"}", 1.0),
        ("roundhouse_uploads_total{state=\"failed\"}", 1.0),
        ("roundhouse_uploads_under_way", 0.0),
        ("roundhouse_request_seconds_count{method=\"POST\",route=\"/uploadcsv\",status=\"200\"}", 2.0),
        ("roundhouse_request_seconds_count{method=\"GET\",route=\"none\",status=\"404\"}", 1.0),
    ] {
        assert_eq!(series(&server, name).await, value, "{name}");
    }
    assert!(series(&server, "roundhouse_upload_bytes_total").await >= file.len() as f64);
    until("nothing is behind", async || {
        (series(&server, "roundhouse_visible_lag_offsets").await == 0.0).then_some(())
    })
    .await;
    let text = server.get("/metrics").await.body;
    assert!(text.as_str().unwrap().contains("\nroundhouse_visible_lag_seconds 0.0\n"), "{text:#}");
}
