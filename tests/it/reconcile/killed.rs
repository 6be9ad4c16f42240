//! A server that is killed while a job runs.

use super::jobs::{begin, until_ended, until_nothing_left, until_phase};
use super::*;
use crate::harness::files;
use crate::harness::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_server_was_killed_in_any_phase_starts_again_and_leaves_nothing_behind() {
    let mut server = Server::start(&[]).await;
    let directory = TempDir::new().unwrap();
    let path = generate(&directory, 400_000);
    let body = std::fs::read(&path).unwrap();
    let receipt = server.upload(body.clone(), "wait=visible").await.ok();
    assert_eq!(receipt["accepted"], 400_000, "{receipt:#}");
    // Differences of each kind, which an interrupted attempt may leave.
    server
        .clickhouse(
            "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 1000 = 0 SETTINGS mutations_sync = 2",
        )
        .await;
    let (mut ids, mut queued) = (Vec::new(), Vec::new());
    for phase in ["reading", "comparing_rows", "comparing_hours"] {
        ids.push(begin(&server, body.clone()).await);
        queued.push(begin(&server, files::csv(1..5)).await);
        until_phase(&server, ids.last().unwrap(), phase).await;
        server.restart().await;
        let report = until_ended(&server, ids.last().unwrap()).await;
        assert_eq!(
            (&report["state"], &report["missing"]),
            (&"done".into(), &400.into()),
            "{phase}: {report:#}"
        );
        assert_eq!((&report["matched"], &report["different"]), (&399_600.into(), &0.into()));
        let report = until_ended(&server, queued.last().unwrap()).await;
        assert_eq!(report["missing"], 4);
        until_nothing_left(&server).await;
    }
    for path in &ids {
        let list = server.get(&format!("{path}/differences?kind=missing&format=ndjson")).await;
        assert_eq!(list.status, 200);
        let text = list.body.as_str().unwrap().to_owned();
        assert_eq!(text.lines().count(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_rows_continues_when_they_are_loaded_after_a_restart() {
    let mut server = Server::start(&["--loader", "none"]).await;
    server.upload(files::csv(0..100), "").await.ok();
    let job = begin(&server, files::csv(0..100)).await;
    until_phase(&server, &job, "waiting").await;
    server.restart_with(&[]).await;
    let report = until_ended(&server, &job).await;
    assert_eq!(
        (&report["verdict"], &report["matched"], &report["settled"]),
        (&"match".into(), &100.into(), &true.into())
    );
    until_nothing_left(&server).await;
}
