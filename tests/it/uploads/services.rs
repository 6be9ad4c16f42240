//! Uploads while a service is down and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Sending, assert_sums, number, text, until_newest_has};
use crate::harness::files::{csv, lines};
use crate::harness::process::{signal, until};
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_continues_when_the_broker_is_killed_and_restarted() {
    let server = Server::start(&[]).await;
    let sending = Sending::start(&server, "wait=visible");
    sending.send(&csv(0..30_000));
    until_newest_has(&server, "rows", 10_000).await;
    server.kill_part("broker").await;
    sending.send(&lines(30_000..60_000));
    let receipt = sending.finish().await.ok();
    assert_eq!((number(&receipt, "accepted"), text(&receipt, "state")), (60_000, "visible"), "{receipt:#}");
    assert_sums(&receipt);
    let stored = "SELECT count(), uniqExact(game_instance_id) FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "60000\t60000");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_broker_or_registry_an_upload_fails_soon_and_can_be_retried() {
    let server = Server::start(&["--delivery-timeout-seconds", "5"]).await;
    let file = csv(0..40_000);
    let (first, rest) = file.split_at(file.len() / 2);
    let sending = Sending::start(&server, "");
    sending.send(first);
    until_newest_has(&server, "rows", 0).await;
    let broker = server.part("broker").unwrap();
    signal(broker, "STOP");
    sending.send(rest);
    let answer = sending.finish().await;
    assert_eq!(answer.headers["retry-after"], "5");
    let problem = answer.problem(503, "broker_unavailable");
    let failed = server.get(text(&problem["links"], "self")).await.ok();
    assert_eq!(
        (&failed["state"], &failed["failure"]["code"]),
        (&json!("failed"), &json!("broker_unavailable"))
    );

    let started = Instant::now();
    server.upload(file.clone(), "").await.problem(503, "broker_unavailable");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    signal(broker, "CONT");
    let registry = server.part("registry").unwrap();
    signal(registry, "STOP");
    until("the registry's answer is old", async || {
        let answer = server.upload(file.clone(), "force=true").await;
        (answer.status == 503 && answer.body["code"] == "registry_unavailable").then_some(())
    })
    .await;
    signal(registry, "CONT");
    let receipt = until("everything is back", async || {
        let answer = server.upload(file.clone(), "wait=visible&force=true").await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_sums(&receipt);
    let stored = "SELECT count(), uniqExact(game_instance_id) FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "40000\t40000");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_the_server_does_not_read_does_not_count_as_slow() {
    let limits = ["--upload-idle-seconds", "1", "--upload-grace-seconds", "0", "--producer-queue-mib", "1"];
    let server = Server::start(&limits).await;
    let sending = Sending::start(&server, "wait=visible");
    sending.send(&csv(0..1000));
    until_newest_has(&server, "rows", 0).await;
    let broker = server.part("broker").unwrap();
    signal(broker, "STOP");
    // Six megabytes; the queue holds one.
    sending.send(&lines(1000..60_000));
    let mut last = 0;
    until("the upload is read no further", async || {
        let rows = server.metric("roundhouse_upload_rows_total").await as u64;
        let is_full = rows > 1000 && rows == std::mem::replace(&mut last, rows);
        // Longer than a client may pause.
        tokio::time::sleep(Duration::from_secs(2)).await;
        is_full.then_some(())
    })
    .await;
    assert!(last < 60_000, "the queue has taken everything");
    signal(broker, "CONT");
    let receipt = sending.finish().await.ok();
    assert_eq!((number(&receipt, "accepted"), text(&receipt, "state")), (60_000, "visible"), "{receipt:#}");
}
