//! `GET /metrics`.

use reqwest::header::ACCEPT;

use crate::harness::browser::shown;
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

/// What Prometheus 3 sends, and with another `scrape_protocols`. Browsers and curl: the last ones.
const ACCEPTED: [(&str, &str); 5] = [
    (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        OPEN_METRICS,
    ),
    ("application/openmetrics-text", OPEN_METRICS),
    ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.1", PLAIN),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", PLAIN),
    ("*/*", PLAIN),
];
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_gets_the_format_that_it_prefers_and_a_browser_shows_the_metrics() {
    let server = Server::start(&[]).await;
    server.upload(csv(0..10), "").await.ok();
    for (accept, content_type) in ACCEPTED {
        let answer = server.send(|http| http.get(server.url("/metrics")).header(ACCEPT, accept)).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (200, &content_type.parse().unwrap()),
            "{accept}"
        );
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("Accept")));
        let text = answer.body.as_str().expect("text");
        assert!(text.contains("\nroundhouse_upload_rows_total 10\n"), "{text}");
        let (counter, is_open) = match content_type {
            PLAIN => ("\n# TYPE roundhouse_upload_rows_total counter\n", false),
            _ => ("\n# TYPE roundhouse_upload_rows counter\n", true),
        };
        assert!(text.contains(counter) && text.ends_with("# EOF\n") == is_open, "{text}");
    }
    // Chromium downloads what it cannot display, and then has nothing to show.
    let page = shown(&server.url("/metrics")).await;
    assert!(page.contains("roundhouse_upload_rows_total 10"), "{page}");
}
