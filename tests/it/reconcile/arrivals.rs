//! Rows that are on their way.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_on_their_way_are_waited_for() {
    let mut bench = Bench::new().await;
    // The second partition is empty: nothing of it will ever be noted.
    let watermarks = || async { Ok(BTreeMap::from([(0, (0, 3)), (1, (7, 7))])) };
    bench.arrivals = Arrivals::new(TOPIC, PATIENCE, move || Box::pin(watermarks()));
    bench.execute("INSERT INTO loader_topics (topic, epoch, partitions) VALUES ('staging-bets', 1, 2)").await;
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let id = submit(&reconciler, file(&rounds(1..=3))).await;
    // All of the file is read, and its rows are waited for.
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
async fn a_report_says_when_not_all_had_arrived() {
    let mut bench = Bench::new().await;
    bench.arrivals =
        Arrivals::new(TOPIC, Duration::ZERO, || Box::pin(async { Ok(BTreeMap::from([(0, (0, 9))])) }));
    let report = bench.report(file(&rounds(1..=2))).await;
    assert_eq!((report.missing, report.settled), (2, false));
}
