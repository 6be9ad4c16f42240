//! Hours of a file compared with the aggregates.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_is_doubled_or_lost_is_found_although_all_rows_match() {
    let bench = Bench::new().await;
    let mut stored = rounds(1..=30);
    for (round, hour) in stored.iter_mut().zip((0..3).cycle()) {
        round.hour = hour;
    }
    bench.store(&stored).await;
    assert_eq!(bench.report(file(&stored)).await.hours, Some(Hours { checked: 3, different: 0, shared: 0 }));

    bench
        .execute(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE toHour(created_hour) = 1",
        )
        .await;
    let report = bench.report(file(&stored)).await;
    assert_eq!((report.verdict, report.matched, report.different_sums()), (Verdict::Mismatch, 30, 1));

    bench.execute("ALTER TABLE hourly_aggregates DELETE WHERE toHour(created_hour) = 2").await;
    assert_eq!(bench.report(file(&stored)).await.hours, Some(Hours { checked: 3, different: 2, shared: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_shared_with_other_files_is_compared_with_their_rounds_included() {
    let bench = Bench::new().await;
    let ours = rounds(100..110);
    // Ids before, between and after those of the file. One round is in another hour.
    let mut others = rounds([5, 99, 110, u64::MAX / 2]);
    others[1].hour = 3;
    bench.store(&ours).await;
    bench.store(&others).await;
    let report = bench.report(file(&ours)).await;
    assert_eq!(report.verdict, Verdict::Match, "{report:?}");
    assert_eq!(report.hours, Some(Hours { checked: 1, different: 0, shared: 1 }));

    bench.execute("ALTER TABLE game_rounds DELETE WHERE game_instance_id = 5").await;
    let report = bench.report(file(&ours)).await;
    assert_eq!((report.matched, report.different_sums()), (10, 1));
}
