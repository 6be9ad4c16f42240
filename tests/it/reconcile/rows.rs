//! Rows of a file compared with the stored rounds.

use super::*;
use crate::harness::files;

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_file_matches_in_all_rows_and_hours() {
    let bench = Bench::new().await;
    let sample = repository().join("data/gamerounds.csv");
    bench.store_file(&sample).await;
    let expected = Expected::of(&[&sample]);
    let view = bench.reconcile(std::fs::read(&sample).unwrap()).await;
    assert_eq!(view.progress, 1.0);
    let report = view.report.unwrap();
    assert_eq!(report.verdict, Verdict::Match, "{report:?}");
    assert_eq!((report.rows, report.matched), (expected.rows, expected.rounds));
    let hours = Hours { checked: expected.by_hour.len() as u64, different: 0, shared: 0 };
    assert_eq!(report.hours, Some(hours));
    assert!(report.sample.is_empty() && report.settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_digit_of_an_amount_and_null_instead_of_zero_are_differences() {
    let bench = Bench::new().await;
    let stored = rounds(1..=4);
    bench.store(&stored).await;
    let mut changed = stored.clone();
    changed[1].amounts[0] = Some(10_000_001);
    changed[2].amounts[1] = None;
    changed[3].amounts[3] = Some(0);
    let report = bench.report(file(&changed)).await;
    assert_eq!(report.verdict, Verdict::Mismatch);
    assert_eq!((report.matched, report.different, report.missing), (1, 3, 0));
    assert_eq!(lines(&report, Kind::Different), [3, 4, 5]);
    let fields = serde_json::to_value(&report.sample).unwrap();
    assert_eq!(
        fields[0]["fields"],
        serde_json::json!({ "real_amount_bet": { "file": "0.10000001", "stored": "0.1" } })
    );
    assert_eq!(
        fields[1]["fields"],
        serde_json::json!({ "bonus_amount_bet": { "file": null, "stored": "0" } })
    );
    assert_eq!(
        fields[2]["fields"],
        serde_json::json!({ "bonus_amount_win": { "file": "0", "stored": null } })
    );
    // NULL counts as 0 in an hour, so only the changed digit changes a sum.
    assert_eq!(report.hours, Some(Hours { checked: 1, different: 1, shared: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_compared() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=5)).await;
    let mut changed = rounds(1..=5);
    changed[0].hour = 9;
    changed[1].player.push('2');
    changed[2].game += 1;
    changed[3].name.push('!');
    let text = file(&changed);
    let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
    let text = format!("{head}\n{}\n", last.replace("Provider", "provider"));
    let report = bench.report(text).await;
    assert_eq!((report.matched, report.different), (0, 5));
    let different = report.sample.iter().filter(|row| row.kind == Kind::Different);
    let fields: Vec<Vec<&String>> = different.map(|row| row.fields.keys().collect()).collect();
    assert_eq!(fields, [["created_timestamp"], ["user_id"], ["game_id"], ["game_name"], ["provider"]]);
    let time = &report.sample[0].fields["created_timestamp"];
    assert_eq!(time.file.as_deref(), Some("2019-10-22T09:20:41Z"));
    assert_eq!(time.stored.as_deref(), Some("2019-10-22T08:20:41Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_duplicate_and_rejected_rows_are_counted_apart_in_any_order() {
    let bench = Bench::new().await;
    bench.store(&rounds((1..=40).filter(|id| id % 10 != 0))).await;
    let mut in_file = rounds(1..=40);
    in_file.push(Round::new(5));
    in_file.push(Round::new(6));
    let rejects = ["not,a,row\n", &Round::new(41).csv("x")];
    let in_order = format!("{}{}", file(&in_file), rejects.concat());
    let report = bench.report(in_order).await;
    assert_eq!((report.rows, report.rejected), (44, 2));
    assert_eq!((report.matched, report.missing, report.different, report.duplicate_in_file), (36, 4, 0, 2));
    assert_eq!(lines(&report, Kind::Missing), [11, 21, 31, 41]);
    assert_eq!(lines(&report, Kind::DuplicateInFile), [42, 43]);

    let (last, first) = (in_file.split_off(40), in_file);
    let shuffled: Vec<Round> = (0..40).map(|at| first[at * 27 % 40].clone()).collect();
    let out_of_order = [HEADER, rejects[1], &lines_of(&shuffled), rejects[0], &lines_of(&last)].concat();
    let again = bench.report(out_of_order).await;
    let counts = |report: &Report| Report { sample: Vec::new(), seconds: 0.0, ..report.clone() };
    assert_eq!(counts(&again), counts(&report));
    let ids = |report: &Report| -> BTreeSet<u64> {
        let missing = report.sample.iter().filter(|row| row.kind == Kind::Missing);
        missing.filter_map(|row| row.game_instance_id).collect()
    };
    assert_eq!(ids(&again), BTreeSet::from([10, 20, 30, 40]));
    assert_eq!(ids(&report), ids(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_and_rejected_rows_alone_are_not_a_mismatch() {
    let bench = Bench::new().await;
    bench.store(&rounds(0..3)).await;
    let report = bench.report(file(&rounds([0, 1, 2, 2, 0])) + "?\n").await;
    assert_eq!((report.verdict, report.matched, report.duplicate_in_file), (Verdict::Match, 3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_one_id_and_different_values_are_contradictory_and_a_mismatch() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=4)).await;
    let with = |id, amount| Round { amounts: [amount, Some(0), Some(0), None], ..Round::new(id) };
    // One row of round 2 is as stored, and none of round 3 is. The rows of round 4 differ only in NULL and zero. Round 9 is not stored.
    let in_file = [
        Round::new(1),
        Round::new(2),
        with(3, Some(5)),
        with(4, None),
        with(9, Some(1)),
        with(2, Some(7)),
        with(3, Some(6)),
        with(4, Some(0)),
        Round::new(2),
        with(9, Some(2)),
        Round::new(1),
    ];
    let view = bench.reconcile(file(&in_file)).await;
    let report = view.report.unwrap();
    assert_eq!((report.verdict, report.rows, report.matched), (Verdict::Mismatch, 11, 1), "{report:?}");
    assert_eq!((report.duplicate_in_file, report.contradictory_in_file), (1, 9));
    assert_eq!((report.missing, report.different, report.unexpected), (0, 0, 0));
    assert_eq!(lines(&report, Kind::ContradictoryInFile), [3, 4, 5, 6, 7, 8, 9, 10, 11]);
    // The stored rounds are what the hour is compared with: the file does not say which row is right.
    assert_eq!(report.hours, Some(Hours { checked: 1, different: 0, shared: 0 }));
    let row = |line| report.sample.iter().find(|row| row.line == Some(line)).unwrap();
    assert_eq!(row(7).file["real_amount_bet"].as_deref(), Some("0.00000007"));
    assert_eq!(row(7).stored["real_amount_bet"].as_deref(), Some("0.1"));
    assert_eq!((&row(5).file["real_amount_bet"], row(6).stored.is_empty()), (&None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_copies_of_a_round_that_is_stored_twice_must_match() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=2)).await;
    bench.store(&[Round { game: 9, ..Round::new(2) }]).await;
    let report = bench.report(file(&rounds(1..=2))).await;
    assert_eq!((report.matched, report.different), (1, 1));
    assert_eq!(report.sample[0].fields.keys().collect::<Vec<_>>(), ["game_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_matches_and_an_unreadable_one_fails_with_the_reason() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=3)).await;
    let report = bench.report(HEADER).await;
    assert_eq!((report.verdict, report.rows, report.hours), (Verdict::Match, 0, Some(Hours::default())));
    let view = bench.reconcile(files::with_endless_line()).await;
    assert_eq!((view.state, view.progress), (JobState::Failed, 0.0));
    assert!(view.reason.unwrap().starts_with("line 2 is longer than 1,048,576 bytes"));
    assert_eq!(view.report, None);
    for (file, reason) in [("", "the file is empty"), ("user_id,game_id\n1,2\n", "the header lacks")] {
        let body = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(file))]);
        let refused = bench.reconciler().submit(Submission::default(), body).await.unwrap_err();
        assert!(refused.to_string().starts_with(reason), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_compared_in_several_ranges_of_ids() {
    let bench = Bench::new().await;
    let directory = TempDir::new().unwrap();
    // More rows than two ranges hold.
    let path = generate(&directory, 1_100_000);
    bench.store_file(&path).await;
    bench.execute("ALTER TABLE game_rounds DELETE WHERE game_instance_id % 100000 = 0").await;
    let expected = Expected::of(&[&path]);
    let started = Instant::now();
    let report = bench.report(std::fs::read(&path).unwrap()).await;
    println!("1,100,000 rows: {:.1} s of {:.1} s", report.seconds, started.elapsed().as_secs_f64());
    assert_eq!((report.rows, report.matched, report.missing), (1_100_000, 1_099_989, 11), "{report:?}");
    // The aggregates still count the deleted rounds, so hours match the file.
    let hours = Hours { checked: expected.by_hour.len() as u64, different: 0, shared: 0 };
    assert_eq!(report.hours, Some(hours));
}
