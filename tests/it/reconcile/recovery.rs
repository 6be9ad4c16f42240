//! Processes that die, and the jobs that they leave.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_dead_process_start_again_and_leave_nothing_behind() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=3)).await;
    // A process accepts three files, starts with one of them, and dies.
    let (begun, queued, lost) = {
        let died = bench.reconciler();
        let begun = submit(&died, file(&rounds(1..=3))).await;
        let queued = submit(&died, file(&rounds(1..=4))).await;
        (begun, queued, submit(&died, file(&rounds(1..=5))).await)
    };
    bench
        .execute(&format!(
            "INSERT INTO reconcile_jobs (id, version, owner, state, file_name, encoding, bytes) \
             SELECT id, version + 1, owner, 'running', file_name, encoding, bytes \
             FROM reconcile_jobs WHERE id = '{begun}'"
        ))
        .await;
    for table in ["rows", "outcomes", "hours"] {
        let begun = begun.simple();
        bench
            .execute(&format!(
                "CREATE TABLE reconcile_{table}_{begun} (n UInt8) ENGINE = MergeTree ORDER BY n"
            ))
            .await;
    }
    for id in [begun, queued] {
        bench
            .execute(&format!(
                "INSERT INTO reconcile_differences (job_id, attempt, kind, line) \
                 SELECT '{id}', generateUUIDv4(), 'missing', number FROM numbers(3)"
            ))
            .await;
    }
    let spooled = |id: Uuid| bench.spool.path().join(format!("{}.csv", id.simple()));
    std::fs::remove_file(spooled(lost)).unwrap();
    let orphan = spooled(Uuid::now_v7());
    std::fs::write(&orphan, HEADER).unwrap();

    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let report = end(&reconciler, begun).await.report.unwrap();
    assert_eq!((report.verdict, report.matched), (Verdict::Match, 3));
    let report = end(&reconciler, queued).await.report.unwrap();
    assert_eq!((report.verdict, report.missing), (Verdict::Mismatch, 1));
    let view = end(&reconciler, lost).await;
    assert_eq!(view.reason.as_deref(), Some("the spooled file is gone or incomplete; send the file again"));
    assert!(!orphan.exists() && !spooled(begun).exists() && !spooled(queued).exists());
    assert_eq!(bench.left_over().await, (0, 0));
    stop.cancel();
    running.await.unwrap();
    // A third process still knows the results.
    assert_eq!(bench.reconciler().get(begun).await.unwrap().unwrap().state, JobState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_server_on_the_same_clickhouse_is_not_touched() {
    let bench = Bench::new().await;
    let other = bench.reconciler();
    let id = submit(&other, file(&rounds(1..=3))).await;
    let elsewhere = TempDir::new().unwrap();
    let ours = bench.reconciler_in(elsewhere.path());
    let stop = CancellationToken::new();
    let running = Arc::clone(&ours).run(stop.clone());
    // When a job of this server is done, its recovery is over.
    let next = submit(&ours, file(&[])).await;
    end(&ours, next).await;
    assert_eq!(ours.get(id).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(ours.get(Uuid::now_v7()).await.unwrap(), None);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_a_kill_of_clickhouse_while_it_runs() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("clickhouse", directory.path(), &[]);
    let bench = Bench::on(&part.url()).await;
    let path = generate(&directory, 100_000);
    bench.store_file(&path).await;
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let id = submit(&reconciler, std::fs::read(&path).unwrap()).await;
    wait_for(&reconciler, id, |view| view.progress > 0.3).await;
    part.restart();
    let report = end(&reconciler, id).await.report.unwrap();
    assert_eq!((report.verdict, report.matched), (Verdict::Match, 100_000), "{report:?}");
    stop.cancel();
    running.await.unwrap();
}
