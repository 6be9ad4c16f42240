//! Which repairs may be requested, and when.

use super::{Bench, assert_counts, damage};
use crate::harness::files;

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_has_one_repair_at_a_time() {
    let bench = Bench::new().await;
    let server = &bench.server;
    let post = async |path: &str| server.send(|http| http.post(server.url(path))).await;
    post("/reconcile/00000000-0000-0000-0000-000000000000/repair").await.problem(404, "no_such_job");
    post("/reconcile/nonsense/repair").await.problem(404, "no_such_job");

    // A repair of a match is done at once.
    let report = bench.found([0; 4]).await;
    let id = report["id"].as_str().unwrap();
    let answer = post(&format!("/reconcile/{id}/repair")).await;
    assert_eq!((answer.status, &answer.body["repair"]["state"]), (202, &"done".into()), "{:#}", answer.body);
    for query in ["prefer=nobody", "prefer=", "remove=all", "preference=file", "prefer=file&prefer=file"] {
        post(&format!("/reconcile/{id}/repair?{query}")).await.problem(400, "invalid_parameter");
    }

    // There are differences, but this repair may change none of them. It runs and reports them.
    damage(server, "ALTER TABLE game_rounds UPDATE provider = 'x' WHERE game_instance_id % 1000 = 0").await;
    let report = server.reconcile(&bench.file).await;
    let different = report["different"].as_u64().unwrap();
    assert!(different > 1);
    let id = report["id"].as_str().unwrap();
    let path = format!("/reconcile/{id}/repair");
    let (first, second) = tokio::join!(post(&path), post(&path));
    let statuses = [first.status, second.status];
    let job = super::ended(server, id).await;
    assert_counts(&job, [0, different, 0, 0]);
    // The second request came before the first repair had ended, unless the machine was slow.
    assert!(matches!(statuses, [202, 409] | [409, 202] | [202, 202]), "{statuses:?}");
    if let Some(refused) = [first, second].into_iter().find(|answer| answer.status == 409) {
        refused.problem(409, "repair_under_way");
    }
    // The sample of differences is the same as before.
    assert_eq!(job["sample"], report["sample"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_done_cannot_be_repaired() {
    let bench = Bench::new().await;
    let server = &bench.server;
    let body = std::fs::read(&bench.file).unwrap();
    // One job runs at a time, so the second waits.
    let first = server.send(|http| http.post(server.url("/reconcile")).body(body.clone())).await;
    let second = server.send(|http| http.post(server.url("/reconcile")).body(body)).await;
    let id = second.body["id"].as_str().unwrap();
    let refused = server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair")))).await;
    assert_eq!(first.status, 202);
    if refused.status != 202 {
        refused.problem(409, "not_done");
    }
    // A failed job has no differences.
    let failed = server.reconcile_body(files::with_endless_line(), "").await;
    let id = failed["id"].as_str().unwrap();
    let refused = server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair")))).await;
    assert_eq!(refused.problem(409, "not_done")["state"], "failed");
}
