//! A ClickHouse that does not respond, or is busy with other clients: every request still gets a response.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::harness::files::csv;
use crate::harness::process::{signal, until};
use crate::harness::server::{Answer, Server};

/// How long to wait for the responses of a server whose ClickHouse is frozen until all have arrived.
const PATIENCE: Duration = Duration::from_secs(60);

async fn ask(server: &Server, method: &str, path: &str) -> Answer {
    let url = server.url(path);
    let asking = server.send(|http| match method {
        "POST" => http.post(url).body(csv(0..10)),
        _ => http.get(url),
    });
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{method} {path} hangs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_gets_a_response_while_clickhouse_is_frozen_and_works_afterwards() {
    let server = Server::start(&["--query-timeout-seconds", "2"]).await;
    let receipt = server.upload(csv(0..10), "wait=visible").await.ok();
    let upload = receipt["links"]["self"].as_str().unwrap().to_owned();
    let job = ask(&server, "POST", "/reconcile").await;
    let job = format!("/reconcile/{}", job.body["id"].as_str().unwrap());
    until("the job is done", async || (server.get(&job).await.ok()["state"] == "done").then_some(())).await;

    let clickhouse = server.part("clickhouse").unwrap();
    signal(clickhouse, "STOP");
    let (rejects, differences) = (format!("{upload}/rejects"), format!("{job}/differences"));
    let asked = [
        ("GET", "/uploads", 503, "clickhouse_unavailable"),
        ("GET", &upload, 503, "clickhouse_unavailable"),
        ("GET", &rejects, 503, "clickhouse_unavailable"),
        ("GET", "/aggregates", 503, "clickhouse_unavailable"),
        ("GET", "/aggregates/summary", 503, "clickhouse_unavailable"),
        ("POST", "/reconcile", 503, "clickhouse_unavailable"),
        ("GET", "/reconcile", 503, "clickhouse_unavailable"),
        ("GET", &job, 503, "clickhouse_unavailable"),
        ("GET", &differences, 503, "clickhouse_unavailable"),
        ("GET", "/readyz", 503, "not_ready"),
        ("GET", "/healthz", 200, ""),
        ("GET", "/metrics", 200, ""),
    ];
    let asking = asked.map(async |(method, path, status, code)| {
        let answer = ask(&server, method, path).await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
            return;
        }
        if code == "clickhouse_unavailable" {
            assert_eq!(answer.headers["retry-after"], "5", "{method} {path}");
        }
        answer.problem(status, code);
    });
    join_all(asking).await;

    signal(clickhouse, "CONT");
    server.until_ready().await;
    for (method, path, ..) in asked {
        let answer = ask(&server, method, path).await;
        assert!(matches!(answer.status, 200 | 202), "{method} {path}: {:#}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_of_other_clients_do_not_delay_the_server() {
    let server = Server::start(&["--clickhouse-connections", "4"]).await;
    server.upload(csv(0..10), "wait=visible").await.ok();
    let url = &server.addresses.clickhouse_url;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sql = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1";
    let slow: Vec<_> = (0..20).map(|_| tokio::spawn(http.post(url).body(sql).send())).collect();
    until("others wait for their turn", async || {
        let turn = http.post(url).body("SELECT 1").send();
        timeout(Duration::from_secs(1), turn).await.is_err().then_some(())
    })
    .await;
    server.get("/uploads").await.ok();
    server.get("/readyz").await.ok();
    let receipt = server.upload(csv(10..20), "wait=visible").await.ok();
    assert_eq!((&receipt["state"], &receipt["new"]), (&json!("visible"), &json!(10)), "{receipt:#}");
    server.get("/aggregates").await.ok();
    let job = ask(&server, "POST", "/reconcile").await;
    let job = format!("/reconcile/{}", job.body["id"].as_str().unwrap());
    until("the job is done", async || (server.get(&job).await.ok()["state"] == "done").then_some(())).await;

    assert!(slow.iter().all(|asking| !asking.is_finished()), "they were not slow");
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    // Another client cannot use the server's user: it does not know the password.
    let other = http.post(url).basic_auth("roundhouse", Some("")).body("SELECT 1").send().await.unwrap();
    assert_eq!(other.status(), 403);
    assert_eq!(http.post(url).body("SELECT 1").send().await.unwrap().text().await.unwrap(), "1\n");
}
