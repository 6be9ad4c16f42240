//! Each kind of damage is found by count and id, and repaired.

use super::{Bench, Reader, assert_counts, assert_nothing_is_left, damage, ids_found, numbers, upload};
use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::{Expected, Totals};
use crate::harness::files::{HEADER, line, lines};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rounds_are_produced_again_and_their_hours_do_not_change() {
    let mut bench = Bench::new().await;
    let deleted = bench.ids("game_instance_id % 997 = 3 ORDER BY 1").await;
    assert!(deleted.len() > 10);
    let hour = bench.hour_of(deleted[0]).await;
    damage(&bench.server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 997 = 3").await;
    let report = bench.found([deleted.len() as u64, 0, 0, 0]).await;
    assert_eq!(ids_found(&bench.server, &report, "missing").await, deleted);

    let reader = Reader::start(&bench.server, &hour).await;
    let job = bench.repair(&report, "").await;
    assert_counts(&job, [0; 4]);
    assert_eq!(reader.end().await, [Some(bench.expected.by_hour[&hour])]);
    let repair = &job["repair"];
    assert_eq!((&repair["produced"], &repair["overwritten"]), (&(deleted.len() as u64).into(), &0.into()));
    let upload = repair["upload_ids"][0].as_str().unwrap();
    let upload = bench.server.get(&format!("/uploads/{upload}")).await.ok();
    assert_eq!((&upload["new"], &upload["rows"]), (&repair["produced"], &repair["produced"]), "{upload:#}");
    assert!(upload["file_name"].as_str().unwrap().starts_with("repair of "), "{upload:#}");
    bench.assert_exact().await;

    // After a restart the loader does not know that these rounds were ever stored.
    damage(&bench.server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 997 = 3").await;
    bench.server.restart().await;
    let report = bench.found([deleted.len() as u64, 0, 0, 0]).await;
    let reader = Reader::start(&bench.server, &hour).await;
    bench.repair(&report, "").await;
    assert_eq!(reader.end().await, [Some(bench.expected.by_hour[&hour])]);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rounds_and_their_deleted_hour_come_back_at_one_moment() {
    let bench = Bench::new().await;
    let first = bench.ids("1 ORDER BY game_instance_id LIMIT 1").await[0];
    let (hour, player, game) = bench.hour_of(first).await;
    let condition = format!(
        "toStartOfHour(created_timestamp) = parseDateTimeBestEffort('{hour}') AND user_id = '{player}' AND game_id = {game}"
    );
    let deleted = bench.ids(&format!("{condition} ORDER BY 1")).await;
    damage(&bench.server, &format!("ALTER TABLE game_rounds DELETE WHERE {condition}")).await;
    let condition = condition.replace("toStartOfHour(created_timestamp)", "created_hour");
    damage(&bench.server, &format!("ALTER TABLE hourly_aggregates DELETE WHERE {condition}")).await;
    let report = bench.found([deleted.len() as u64, 0, 0, 1]).await;
    assert_eq!(ids_found(&bench.server, &report, "missing").await, deleted);
    let key = (hour, player, game);
    let reader = Reader::start(&bench.server, &key).await;
    let job = bench.repair(&report, "").await;
    assert_eq!(reader.end().await, [None, Some(bench.expected.by_hour[&key])]);
    assert_eq!(
        (&job["repair"]["produced"], &job["repair"]["hours_rebuilt"]),
        (&deleted.len().into(), &1.into())
    );
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_round_is_reported_and_overwritten_only_if_the_file_is_preferred() {
    let bench = Bench::new().await;
    let id = bench.ids("real_amount_bet > 0 ORDER BY game_instance_id LIMIT 1 OFFSET 9000").await[0];
    let hour = bench.hour_of(id).await;
    let change = format!(
        "ALTER TABLE game_rounds UPDATE real_amount_bet = real_amount_bet + 7 WHERE game_instance_id = {id}"
    );
    damage(&bench.server, &change).await;
    let report = bench.found([0, 1, 0, 0]).await;
    assert_eq!(ids_found(&bench.server, &report, "different").await, [id]);

    let job = bench.repair(&report, "").await;
    assert_counts(&job, [0, 1, 0, 0]);
    assert_eq!((&job["repair"]["overwritten"], &job["sample"]), (&0.into(), &report["sample"]));
    assert_same(&by_hour(&bench.server).await, &bench.expected.by_hour);

    let reader = Reader::start(&bench.server, &hour).await;
    let job = bench.repair(&report, "prefer=file").await;
    assert_eq!(reader.end().await, [Some(bench.expected.by_hour[&hour])]);
    assert_counts(&job, [0; 4]);
    assert_eq!(job["repair"]["overwritten"], 1);
    assert_eq!(job["matched"], bench.expected.rounds);
    bench.assert_exact().await;
}

/// An earlier upload stored other values, and its hours count them.
#[tokio::test(flavor = "multi_thread")]
async fn overwriting_changes_every_field_and_both_the_old_and_the_new_hour() {
    let server = crate::harness::server::Server::start(&[]).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (earlier, file) = (directory.path().join("earlier.csv"), directory.path().join("file.csv"));
    let rounds: String = (0..50).map(|id| line(id, "0.25")).collect();
    let again = line(20, "0.25");
    std::fs::write(&file, format!("{HEADER}\n{rounds}{again}")).unwrap();
    // The first ten rounds differ: in hour, player, game, bet, an amount that is NULL or not, name, provider.
    let changed = |id: u64| match id {
        0 => line(0, "0.25").replace("04:05:06", "09:05:06.007"),
        1 => line(1, "0.25").replace("player-1", "player-2"),
        2 => line(2, "0.25").replace(",7,", ",8,"),
        3 => line(3, "999999999.12345678"),
        4 => line(4, ""),
        5 => line(5, "0.25").replace("NULL", "3"),
        6 => line(6, "0.25").replace("Café 日本", "Zebra \"\"quoted, ✓"),
        7 => line(7, "0.25").replace("Play'n GO", "Zzz\\n'"),
        8 => line(8, "0.25").replace("0.1,", "0,"),
        9 => line(9, "0.25").replace("2020-02-03", "1999-12-31"),
        id => line(id, "0.25"),
    };
    let stored: String = (0..50).map(changed).collect();
    let stored = stored.replace("Zebra \"\"quoted, ✓", "\"Zebra \"\"quoted, ✓\"");
    std::fs::write(&earlier, format!("{HEADER}\n{stored}")).unwrap();
    upload(&server, &earlier).await;
    let report = server.reconcile(&file).await;
    assert_eq!(ids_found(&server, &report, "different").await, (0..10).collect::<Vec<_>>(), "{report:#}");
    let right = totals_of(&file);
    let key = ("2020-02-03T04:00:00Z".to_owned(), "player-0".to_owned(), 7);
    let reader = Reader::start(&server, &key).await;
    let before = by_hour(&server).await[&key];
    let job = super::repair(&server, report["id"].as_str().unwrap(), "prefer=file").await;
    assert_counts(&job, [0; 4]);
    assert_eq!(reader.end().await, [Some(before), Some(right.by_hour[&key])]);
    assert_eq!((&job["repair"]["overwritten"], &job["duplicate_in_file"]), (&10.into(), &1.into()));
    assert_same(&by_hour(&server).await, &right.by_hour);
    // Names change, too, although the old ones are the last in the alphabet.
    let names = "SELECT DISTINCT game_name, provider FROM hourly_aggregates";
    assert_eq!(server.clickhouse(names).await, "Café 日本\tPlay\\'n GO");
    let report = server.reconcile(&file).await;
    assert_counts(&report, [0; 4]);
    super::assert_nothing_is_left(&server).await;
}

fn totals_of(file: &std::path::Path) -> Expected {
    Expected::of(&[file])
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_with_contradictory_rows_in_the_file_are_left_alone() {
    let server = crate::harness::server::Server::start(&[]).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (earlier, file) = (directory.path().join("earlier.csv"), directory.path().join("file.csv"));
    std::fs::write(&earlier, format!("{HEADER}\n{}", lines(0..20))).unwrap();
    // Round 3 differs and 101 is missing. One row of round 5 is as stored, no row of round 6 is, and 100 is not stored.
    let others: String = (0..20).filter(|id| ![3, 5, 6].contains(id)).map(|id| line(id, "0.25")).collect();
    let contradictory = [(5, "0.25"), (6, "8"), (100, "1"), (5, "7"), (6, "9"), (100, "2")];
    let contradictory: String = contradictory.iter().map(|(id, bet)| line(*id, bet)).collect();
    let text = [HEADER, "\n", &others, &line(3, "9"), &contradictory, &line(101, "4")].concat();
    std::fs::write(&file, text).unwrap();
    upload(&server, &earlier).await;
    // A copy in an hour that the repair concerns.
    server.clickhouse("INSERT INTO game_rounds SELECT * FROM game_rounds WHERE game_instance_id = 6").await;
    let ids = "game_instance_id IN (5, 6, 100)";
    let stored = format!("SELECT game_instance_id, real_amount_bet FROM game_rounds WHERE {ids} ORDER BY 1");
    let before = server.clickhouse(&stored).await;
    assert_eq!(before, "5\t0.25\n6\t0.25\n6\t0.25");

    let report = server.reconcile(&file).await;
    let counts = |report: &serde_json::Value| {
        ["missing", "different", "contradictory_in_file", "duplicate_in_file"]
            .map(|name| report[name].clone())
    };
    assert_eq!(counts(&report), [1, 1, 6, 0], "{report:#}");
    let id = report["id"].as_str().unwrap();
    for _ in 0..2 {
        let job = super::repair(&server, id, "prefer=file&remove=unexpected").await;
        assert_eq!(
            (counts(&job), &job["verdict"]),
            ([0, 0, 6, 0].map(Into::into), &"mismatch".into()),
            "{job:#}"
        );
        let left_alone = job["repair"]["left_alone"].as_str().unwrap();
        assert!(left_alone.starts_with("6 rows of the file contradict other rows"), "{left_alone}");
        assert_eq!(server.clickhouse(&stored).await, before);
    }
    assert_eq!(ids_found(&server, &report, "contradictory_in_file").await, [5, 5, 6, 6, 100, 100]);
    super::assert_nothing_is_left(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_that_are_not_in_the_file_are_reported_and_removed_only_on_request() {
    let bench = Bench::new().await;
    let insert = format!(
        "INSERT INTO game_rounds (created_timestamp, game_instance_id, user_id, game_id, real_amount_bet, game_name, \
         provider, upload_id, line) SELECT created_timestamp, game_instance_id + 1000000000, user_id, game_id, 1, \
         game_name, provider, '{}', line FROM game_rounds WHERE game_instance_id % 5003 = 0",
        bench.upload_id
    );
    bench.server.clickhouse(insert).await;
    // One in an hour that the file does not have.
    let insert = format!(
        "INSERT INTO game_rounds (created_timestamp, game_instance_id, user_id, game_id, upload_id) \
         VALUES ('2001-01-01 00:00:00', 2000000000, 'nobody', 1, '{}')",
        bench.upload_id
    );
    bench.server.clickhouse(insert).await;
    let foreign = bench.ids("game_instance_id >= 1000000000 ORDER BY 1").await;
    assert!(foreign.len() > 2);
    let counts = [0, 0, foreign.len() as u64, 0];
    let report = bench.found(counts).await;
    assert_eq!(ids_found(&bench.server, &report, "unexpected").await, foreign);
    for query in ["", "prefer=file"] {
        let job = bench.repair(&report, query).await;
        assert_counts(&job, counts);
        assert_eq!(job["repair"]["removed"], 0);
    }
    let hour = bench.hour_of(foreign[0]).await;
    let with = by_hour(&bench.server).await[&hour];
    let reader = Reader::start(&bench.server, &hour).await;
    let job = bench.repair(&report, "remove=unexpected").await;
    assert_eq!(job["repair"]["removed"], foreign.len());
    assert_counts(&job, [0; 4]);
    assert_eq!(reader.end().await, [Some(with), Some(bench.expected.by_hour[&hour])]);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_an_unexpected_round_keeps_the_copy_of_another_upload() {
    let bench = Bench::new().await;
    let other = "01890a5d-ac96-774b-bcce-b302099a8057";
    // The copy of this upload came first, so it would be kept as a copy.
    for (upload, offset) in [(bench.upload_id.as_str(), 0), (other, 1)] {
        let insert = format!(
            "INSERT INTO game_rounds (created_timestamp, game_instance_id, user_id, game_id, real_amount_bet, game_name, provider, \
             upload_id, kafka_epoch, kafka_partition, kafka_offset) \
             VALUES ('2001-01-01 00:00:00', 2000000000, 'nobody', 1, 2, 'g', 'p', '{upload}', 1, 0, {offset})"
        );
        bench.server.clickhouse(insert).await;
    }
    let report = bench.found([0, 0, 1, 0]).await;
    let job = bench.repair(&report, "remove=unexpected").await;
    assert_counts(&job, [0; 4]);
    let stored = "SELECT upload_id FROM game_rounds WHERE game_instance_id = 2000000000";
    assert_eq!(bench.server.clickhouse(stored).await, other);
    let hour = bench.hour_of(2_000_000_000).await;
    let Totals { rounds, .. } = by_hour(&bench.server).await[&hour];
    assert_eq!(rounds, 1);
    assert_nothing_is_left(&bench.server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_rounds_are_removed_and_their_hours_rebuilt() {
    let bench = Bench::new().await;
    let copied = bench.ids("game_instance_id % 2503 = 1 ORDER BY 1").await;
    // Two copies each, one of them with other values. The view counts both.
    for values in ["real_amount_bet", "ifNull(real_amount_bet, 0) + 1"] {
        let insert = format!(
            "INSERT INTO game_rounds SELECT * REPLACE ({values} AS real_amount_bet) FROM game_rounds \
             WHERE game_instance_id % 2503 = 1 LIMIT 1 BY game_instance_id"
        );
        bench.server.clickhouse(insert).await;
    }
    let mut hours = std::collections::BTreeSet::new();
    for id in &copied {
        hours.insert(bench.hour_of(*id).await);
    }
    let report = bench.found([0, copied.len() as u64, 0, hours.len() as u64]).await;
    let hour = hours.first().unwrap();
    let before = by_hour(&bench.server).await[hour];
    let reader = Reader::start(&bench.server, hour).await;
    let job = bench.repair(&report, "").await;
    assert_eq!(reader.end().await, [Some(before), Some(bench.expected.by_hour[hour])]);
    assert_eq!(job["repair"]["removed"], 2 * copied.len(), "{job:#}");
    assert_counts(&job, [0; 4]);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_is_counted_twice_is_rebuilt_at_one_moment() {
    let bench = Bench::new().await;
    let (hour, right) = bench.expected.by_hour.iter().next().unwrap();
    let (time, player, game) = hour;
    bench
        .server
        .clickhouse(format!(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates \
             WHERE created_hour = parseDateTimeBestEffort('{time}') AND user_id = '{player}' AND game_id = {game}"
        ))
        .await;
    let report = bench.found([0, 0, 0, 1]).await;
    let sql = format!(
        "SELECT expected_rounds_played, aggregated_rounds_played FROM reconcile_differences WHERE job_id = '{}'",
        report["id"].as_str().unwrap()
    );
    let rounds = right.rounds;
    assert_eq!(bench.server.clickhouse(sql).await, format!("{rounds}\t{}", 2 * rounds));
    let twice = Totals {
        rounds: 2 * rounds,
        real_bet: 2 * right.real_bet,
        bonus_bet: 2 * right.bonus_bet,
        real_win: 2 * right.real_win,
        bonus_win: 2 * right.bonus_win,
    };
    let reader = Reader::start(&bench.server, hour).await;
    let job = bench.repair(&report, "").await;
    assert_eq!(reader.end().await, [Some(twice), Some(*right)]);
    assert_eq!(job["repair"]["hours_rebuilt"], 1);
    assert_counts(&job, [0; 4]);
    bench.assert_exact().await;
}

/// All kinds of damage at once, while other files with rounds in the same hours are uploaded.
#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_damage_are_repaired_while_other_files_are_uploaded() {
    let bench = Bench::new().await;
    for sql in [
        "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 101 = 0",
        "ALTER TABLE game_rounds UPDATE game_id = game_id + 1, bonus_amount_win = NULL WHERE game_instance_id % 103 = 0",
        "ALTER TABLE hourly_aggregates DELETE WHERE game_id % 3 = 0",
    ] {
        damage(&bench.server, sql).await;
    }
    bench
        .server
        .clickhouse("INSERT INTO game_rounds SELECT * FROM game_rounds WHERE game_instance_id % 107 = 0")
        .await;
    let report = bench.server.reconcile(&bench.file).await;
    assert_eq!(report["verdict"], "mismatch");
    let copies = numbers(
        &bench
            .server
            .clickhouse("SELECT game_instance_id FROM game_rounds GROUP BY 1 HAVING count() > 1")
            .await,
    );
    // The same players, games and hours, with other ids.
    let text = crate::harness::expected::text(&bench.file);
    let more: Vec<String> = (1..6)
        .map(|number| {
            let mut lines = text.lines();
            let header = lines.next().unwrap();
            let rows = lines.skip(number * 100).take(100).map(|line| {
                let (time, rest) = line.split_once(',').unwrap();
                let (id, rest) = rest.split_once(',').unwrap();
                format!("{time},{},{rest}\n", id.parse::<u64>().unwrap() + 5_000_000_000)
            });
            format!("{header}\n{}", rows.collect::<String>())
        })
        .collect();
    let uploads = async {
        for file in &more {
            bench.server.upload(file.clone(), "wait=visible").await.ok();
        }
    };
    let (job, ()) = tokio::join!(bench.repair(&report, "prefer=file"), uploads);
    assert_eq!(job["repair"]["removed"], copies.len(), "{job:#}");
    let directory = tempfile::TempDir::new().unwrap();
    let mut files = vec![bench.file.clone()];
    for (number, file) in more.iter().enumerate() {
        files.push(directory.path().join(number.to_string()));
        std::fs::write(files.last().unwrap(), file).unwrap();
    }
    let expected = Expected::of(&files.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>());
    assert_same(&by_hour(&bench.server).await, &expected.by_hour);
    bench.found([0; 4]).await;
}

/// Uploading the file again restores deleted rounds without a repair.
#[tokio::test(flavor = "multi_thread")]
async fn uploading_a_file_again_restores_deleted_rounds_once() {
    let bench = Bench::new().await;
    let deleted = bench.ids("game_instance_id % 13 = 3 ORDER BY 1").await.len() as u64;
    let hour = bench.hour_of(bench.ids("game_instance_id % 13 = 3 LIMIT 1").await[0]).await;
    damage(&bench.server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 13 = 3").await;
    let reader = Reader::start(&bench.server, &hour).await;
    // The file has each round twice. The first one is restored.
    let text = crate::harness::expected::text(&bench.file);
    let (_, rows) = text.split_once('\n').unwrap();
    let again = format!("{text}{rows}");
    let receipt = bench.server.upload(again, "wait=visible&force=true").await.ok();
    let rounds = bench.expected.rounds;
    assert_eq!((&receipt["new"], &receipt["duplicate"]), (&deleted.into(), &(2 * rounds - deleted).into()));
    assert_eq!(reader.end().await, [Some(bench.expected.by_hour[&hour])]);
    // The loader decided this before it inserted anything, so nothing had to be repeated.
    let log = std::fs::read_to_string(bench.server.data_dir().with_file_name("log")).unwrap();
    assert!(!log.contains("interrupted") && !log.contains("lost in a crash"), "{log}");
    bench.assert_exact().await;
}

/// ClickHouse's own consumer stores duplicates and ignores the mark of a repair.
#[tokio::test(flavor = "multi_thread")]
async fn rounds_that_clickhouse_loaded_twice_are_repaired() {
    let bench = Bench::with(&["--loader", "clickhouse"]).await;
    let body = std::fs::read(&bench.file).unwrap();
    assert_eq!(bench.server.upload(body, "wait=visible&force=true").await.ok()["state"], "visible");
    damage(&bench.server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 101 = 3").await;
    let missing = bench.expected.rounds - bench.ids("1 LIMIT 1 BY game_instance_id").await.len() as u64;
    let hours = bench.expected.by_hour.len() as u64;
    let report = bench.found([missing, 0, 0, hours]).await;
    let job = bench.repair(&report, "").await;
    assert_counts(&job, [0; 4]);
    let repair = &job["repair"];
    assert_eq!((&repair["produced"], &repair["hours_rebuilt"]), (&missing.into(), &hours.into()));
    assert_eq!(repair["removed"], bench.expected.rounds - missing);
    bench.assert_exact().await;
}
