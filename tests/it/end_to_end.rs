//! The built server, used as a user would: upload, query, reconcile, kill, start again.

mod keys;
mod readiness;
mod start;
mod uploads;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::aggregates::{Key, all_items, assert_same, by_hour, key, totals};
use crate::harness::expected::{Expected, Totals};
use crate::harness::files::generate;
use crate::harness::repository;
use crate::harness::server::Server;

/// Asserts that the aggregates and their rounds are those of the files.
async fn assert_stored(server: &Server, expected: &Expected) {
    let counts = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(counts, format!("{0}\t{0}", expected.rounds));
    assert_same(&by_hour(server).await, &expected.by_hour);
}

fn assert_match(report: &Value, expected: &Expected) {
    assert_eq!(report["verdict"], "match", "{report:#}");
    assert_eq!(report["rows"], expected.rows, "{report:#}");
    assert_eq!(report["matched"], expected.rounds, "{report:#}");
    assert_eq!(report["hours"]["checked"], expected.by_hour.len(), "{report:#}");
    for member in ["missing", "different", "duplicate_in_file", "rejected"] {
        assert_eq!(report[member], 0, "{member}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_counted_exactly_and_survives_a_kill() {
    let sample = repository().join("data/gamerounds.csv");
    let expected = Expected::of(&[&sample]);
    let bytes = fs::read(&sample).unwrap();
    let mut server = Server::start(&[]).await;

    let receipt = server.upload(bytes.clone(), "name=gamerounds.csv&wait=visible").await.ok();
    assert_eq!(receipt["state"], "visible", "{receipt:#}");
    assert_eq!(receipt["rows"], expected.rows);
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&receipt["rows"], &Value::from(0)));
    assert_eq!(
        (receipt["encoding"].as_str(), receipt["file_name"].as_str()),
        (Some("UTF-16LE"), Some("gamerounds.csv"))
    );
    assert_stored(&server, &expected).await;
    assert_match(&server.reconcile(&sample).await, &expected);

    server.restart().await;
    assert_stored(&server, &expected).await;
    assert_match(&server.reconcile(&sample).await, &expected);
    let again = server.upload(bytes, "wait=visible").await.ok();
    assert_eq!((&again["state"], &again["upload_id"]), (&Value::from("duplicate"), &receipt["upload_id"]));
    assert_stored(&server, &expected).await;

    let status = server.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(crate::harness::process::processes(&server.data_dir()).is_empty(), "a process is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_rows_that_are_sent_several_times_are_summed_exactly() {
    let directory = TempDir::new().unwrap();
    let file = generate(&directory.path().join("rounds.csv"), &["--rows", "200000", "--seed", "200"]);
    let expected = Expected::of(&[&file]);
    assert_eq!((expected.rows, expected.rounds), (200_000, 200_000));
    let bytes = fs::read(&file).unwrap();
    let server = Server::start(&[]).await;
    for _ in 0..2 {
        let receipt = server.upload(bytes.clone(), "wait=visible&force=true").await.ok();
        assert_eq!(
            (receipt["state"].as_str(), receipt["accepted"].as_u64()),
            (Some("visible"), Some(200_000))
        );
        assert_stored(&server, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders_match_the_file() {
    let sample = repository().join("data/gamerounds.csv");
    let expected = Expected::of(&[&sample]);
    let server = Server::start(&[]).await;
    server.upload(fs::read(&sample).unwrap(), "wait=visible").await.ok();

    let (hour, player, game) = expected.by_hour.keys().nth(expected.by_hour.len() / 2).unwrap().clone();
    let (_, other_player, other_game) = expected.by_hour.keys().next().unwrap().clone();
    let day = &hour[..10];
    type Keeps<'a> = &'a dyn Fn(&Key) -> bool;
    let filters: [(String, Keeps<'_>); 7] = [
        (format!("player_id={player}"), &|key| key.1 == player),
        (format!("player_id={player}&player_id={other_player}"), &|key| {
            key.1 == player || key.1 == other_player
        }),
        (format!("game_id={game}&game_id={other_game}"), &|key| key.2 == game || key.2 == other_game),
        (format!("game_id={game}&player_id={player}"), &|key| key.1 == player && key.2 == game),
        (format!("date_from={day}&date_to={day}"), &|key| key.0.starts_with(day)),
        (format!("date_from={hour}"), &|key| key.0 >= hour),
        (format!("date_to={hour}"), &|key| key.0 < hour),
    ];
    for (query, keeps) in filters {
        let kept: BTreeMap<Key, Totals> = expected
            .by_hour
            .iter()
            .filter(|(key, _)| keeps(key))
            .map(|(key, sums)| (key.clone(), *sums))
            .collect();
        assert!(!kept.is_empty() && kept.len() < expected.by_hour.len(), "{query} tells nothing");
        // Pages that are smaller than the result.
        let items = all_items(&server, &format!("{query}&limit={}", kept.len().div_ceil(3))).await;
        assert_same(&totals(&items), &kept);
    }

    type By = fn(&Key) -> (String, String, String);
    let orders: [(&str, By); 3] = [
        ("created_hour", |(hour, player, game)| (hour.clone(), player.clone(), format!("{game:020}"))),
        ("player_id", |(hour, player, game)| (player.clone(), hour.clone(), format!("{game:020}"))),
        ("game_id", |(hour, player, game)| (format!("{game:020}"), hour.clone(), player.clone())),
    ];
    for (name, by) in orders {
        let mut keys: Vec<Key> = expected.by_hour.keys().cloned().collect();
        keys.sort_by_key(by);
        for sort in [name.to_owned(), format!("-{name}")] {
            let items = all_items(&server, &format!("limit=1999&sort={sort}")).await;
            assert!(items.iter().map(key).eq(keys.iter().cloned()), "{sort} is in another order");
            keys.reverse();
        }
    }
}
