//! Rows that are still being loaded when a reconciliation starts.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_waits_for_rows_that_are_being_loaded() {
    let mut bench = Bench::new().await;
    // The second partition is empty, so the ledger never mentions it.
    let watermarks = || async { Ok(BTreeMap::from([(0, (0, 3)), (1, (7, 7))])) };
    bench.arrivals = Arrivals::new(TOPIC, PATIENCE, move || Box::pin(watermarks()));
    bench.execute("INSERT INTO loader_topics (topic, epoch, partitions) VALUES ('staging-bets', 1, 2)").await;
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let id = submit(&reconciler, file(&rounds(1..=3))).await;
    // The file is read, and the job waits for its rows.
    let waiting = wait_for(&reconciler, id, |view| view.phase == Some(Phase::Waiting)).await;
    assert_eq!((waiting.state, waiting.progress), (JobState::Running, 0.5));
    bench.store(&rounds(1..=3)).await;
    bench
        .execute(
            "INSERT INTO loader_chunks (topic, epoch, partition, first_offset, last_offset, state) \
             VALUES ('staging-bets', 1, 0, 0, 2, 'noted'), ('staging-bets', 1, 0, 0, 2, 'done')",
        )
        .await;
    let report = end(&reconciler, id).await.report.unwrap();
    assert_eq!((report.verdict, report.settled), (Verdict::Match, true));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_so_if_not_all_rows_were_loaded() {
    let mut bench = Bench::new().await;
    bench.arrivals =
        Arrivals::new(TOPIC, Duration::ZERO, || Box::pin(async { Ok(BTreeMap::from([(0, (0, 9))])) }));
    let report = bench.report(file(&rounds(1..=2))).await;
    assert_eq!((report.missing, report.settled), (2, false));
}
