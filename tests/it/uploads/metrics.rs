//! `GET /metrics`.

use crate::harness::files::{csv, line};
use crate::harness::process::until;
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn requests_rows_and_rejects_are_counted() {
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
        assert_eq!(server.metric(name).await, value, "{name}");
    }
    assert!(server.metric("roundhouse_upload_bytes_total").await >= file.len() as f64);
    // If ClickHouse does not respond in time, both are left out.
    until("nothing is behind", async || {
        let text = server.get("/metrics").await.body;
        let lags = ["\nroundhouse_visible_lag_offsets 0\n", "\nroundhouse_visible_lag_seconds 0.0\n"];
        lags.iter().all(|lag| text.as_str().unwrap().contains(lag)).then_some(())
    })
    .await;
}
