//! What a user sees while a part is down.

use crate::harness::files::csv;
use crate::harness::process::until;
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_is_reported_and_uploads_succeed_once_it_is_back() {
    let server = Server::start(&[]).await;
    server.until_ready().await;
    let mut kills = 0_u64;
    // Each kill makes the pause before the next start longer, until the test cannot miss it.
    let problem = until("/readyz tells that the broker is away", async || {
        server.kill_part("broker").await;
        kills += 1;
        let answer = server.get("/readyz").await;
        (answer.status == 503).then(|| answer.problem(503, "not_ready"))
    })
    .await;
    assert_eq!(problem["ready"], false);
    assert_eq!(problem["parts"]["broker"]["ready"], false, "{problem:#}");
    assert!(
        problem["parts"]["broker"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "{problem:#}"
    );

    // An upload meanwhile: it waits for the broker, or reports that it does not respond.
    let upload = server.upload(csv(0..5000), "").await;
    if upload.status != 200 {
        assert_eq!(upload.headers["retry-after"], "5");
        upload.problem(503, "broker_unavailable");
    }
    server.until_ready().await;
    let receipt = server.upload(csv(0..5000), "force=true&wait=visible").await.ok();
    assert_eq!(receipt["state"], "visible", "{receipt:#}");
    let counts = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(counts, "5000\t5000");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_queries_return_503_and_uploads_are_accepted() {
    let server = Server::start(&[]).await;
    let problem = until("a question meets no ClickHouse", async || {
        server.kill_part("clickhouse").await;
        let answer = server.get("/aggregates").await;
        (answer.status == 503).then(|| answer.problem(503, "clickhouse_unavailable"))
    })
    .await;
    assert!(!problem["detail"].as_str().unwrap().contains("127.0.0.1"), "an inner detail: {problem:#}");
    server.kill_part("clickhouse").await;
    let receipt = server.upload(csv(0..500), "").await.ok();
    assert_eq!((receipt["state"].as_str(), receipt["accepted"].as_u64()), (Some("acknowledged"), Some(500)));
    server.until_ready().await;
    until("the rows are visible", async || {
        (server.clickhouse("SELECT sum(rounds_played) FROM hourly_aggregates").await == "500").then_some(())
    })
    .await;
}
