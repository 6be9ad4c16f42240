//! `?preview=true`: a dry run says what the repair then does, and changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::{Bench, assert_nothing_is_left, crashes, damage};
use crate::harness::aggregates::{Key, by_hour};
use crate::harness::expected::{Totals, units};
use crate::harness::files::{csv, line, lines};
use crate::harness::server::{Answer, Server};

/// Everything that a repair changes.
#[derive(Debug, PartialEq)]
struct Stored {
    /// Count and amounts of all rounds.
    rounds: Totals,
    by_hour: BTreeMap<Key, Totals>,
    /// A digest of all columns of all rows.
    digests: Vec<String>,
    end_offsets: Vec<i64>,
    uploads: usize,
}

impl Stored {
    async fn now(server: &Server) -> Self {
        let mut digests = Vec::new();
        for table in
            ["game_rounds", "hourly_aggregates", "reconcile_jobs", "reconcile_repairs", "upload_ledger"]
        {
            digests.push(server.clickhouse(format!("SELECT count(), sum(cityHash64(*)) FROM {table}")).await);
        }
        let sums = "SELECT count(), sum(real_amount_bet), sum(bonus_amount_bet), sum(real_amount_win), sum(bonus_amount_win) FROM game_rounds";
        let sums = server.clickhouse(sums).await;
        Self {
            rounds: totals_of(&sums.split('\t').collect::<Vec<_>>()),
            by_hour: by_hour(server).await,
            digests,
            end_offsets: end_offsets(server).await,
            uploads: server.get("/uploads").await.ok()["items"].as_array().unwrap().len(),
        }
    }
}

async fn end_offsets(server: &Server) -> Vec<i64> {
    let brokers = server.addresses.kafka_brokers.clone();
    let ask = move || {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        let end = |partition| {
            consumer.fetch_watermarks("staging-bets", partition, Duration::from_secs(60)).unwrap().1
        };
        (0..4).map(end).collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn totals_of(texts: &[&str]) -> Totals {
    Totals {
        rounds: texts[0].parse().unwrap(),
        real_bet: units(texts[1]),
        bonus_bet: units(texts[2]),
        real_win: units(texts[3]),
        bonus_win: units(texts[4]),
    }
}

fn totals(sums: &Value) -> Totals {
    let amount = |name: &str| sums[name].as_str().unwrap().to_owned();
    let names = ["real_amount_bet", "bonus_amount_bet", "real_amount_win", "bonus_amount_win"];
    let mut texts = vec![sums["rounds_played"].to_string()];
    texts.extend(names.map(amount));
    totals_of(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Signed parts of sums: each of them `times` a number.
fn add<'a>(sums: impl IntoIterator<Item = (i128, &'a Totals)>) -> [i128; 5] {
    let mut sum = [0; 5];
    for (times, totals) in sums {
        let Totals { rounds, real_bet, bonus_bet, real_win, bonus_win } = *totals;
        for (sum, part) in sum.iter_mut().zip([i128::from(rounds), real_bet, bonus_bet, real_win, bonus_win])
        {
            *sum += times * part;
        }
    }
    sum
}

async fn preview(server: &Server, id: &str, query: &str) -> Answer {
    server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair?preview=true&{query}")))).await
}

/// Reconciles, previews, repairs, and compares the preview with what has changed. Returns the preview.
async fn preview_and_repair(bench: &Bench, name: &str, query: &str) -> Value {
    let server = &bench.server;
    let report = server.reconcile(&bench.file).await;
    let id = report["id"].as_str().unwrap();
    let before = Stored::now(server).await;
    let answer = preview(server, id, query).await;
    assert_eq!(answer.status, 200, "{name}: {:#}", answer.body);
    assert_eq!(Stored::now(server).await, before, "{name}: the preview changed something");
    assert_nothing_is_left(server).await;
    let told = &answer.body["preview"];
    assert_eq!(
        (&answer.body["verdict"], &told["data_may_have_changed"]),
        (&"mismatch".into(), &false.into()),
        "{name}"
    );

    // What is stored of the sample before, and afterwards.
    let ids: Vec<u64> = told["sample"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["game_instance_id"].as_u64().unwrap())
        .collect();
    let values_before = values(server, &ids).await;
    let job = super::repair(server, id, query).await;
    let after = Stored::now(server).await;
    let values_after = values(server, &ids).await;
    for name in ["produced", "overwritten", "removed", "hours_rebuilt", "prefer", "removes_unexpected"] {
        assert_eq!(told[name], job["repair"][name], "{name}: {told:#}\n{:#}", job["repair"]);
    }

    // Rounds and money, as they are stored before and after.
    let parts = &told["totals"];
    let [produced, removed] = ["produced", "removed"].map(|part| totals(&parts[part]));
    assert_eq!(
        (produced.rounds, removed.rounds),
        (told["produced"].as_u64().unwrap(), told["removed"].as_u64().unwrap())
    );
    let overwritten = ["before", "after"].map(|side| totals(&parts["overwritten"][side]));
    assert!(overwritten.iter().all(|side| told["overwritten"] == side.rounds), "{name}: {told:#}");
    let change = add([(1, &produced), (-1, &removed), (-1, &overwritten[0]), (1, &overwritten[1])]);
    assert_eq!(add([(1, &after.rounds), (-1, &before.rounds)]), change, "{name}: {told:#}");

    // Hours that a reader sees before and after.
    let none = Totals::default();
    let keys = before.by_hour.keys().chain(after.by_hour.keys()).collect::<std::collections::BTreeSet<_>>();
    let pairs = keys
        .into_iter()
        .map(|key| (before.by_hour.get(key).unwrap_or(&none), after.by_hour.get(key).unwrap_or(&none)));
    let changed: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
    assert_eq!(told["hours_changed"], changed.len(), "{name}: {told:#}");
    let [hours_before, hours_after] = ["before", "after"].map(|side| totals(&parts["hours"][side]));
    assert_eq!(
        add(changed.iter().map(|(before, _)| (1, *before))),
        add([(1, &hours_before)]),
        "{name}: {told:#}"
    );
    assert_eq!(
        add(changed.iter().map(|(_, after)| (1, *after))),
        add([(1, &hours_after)]),
        "{name}: {told:#}"
    );

    // What stays as it was.
    let stays = &told["unchanged"];
    assert_eq!(
        (&stays["different"], &stays["unexpected"]),
        (&job["different"], &job["unexpected"]),
        "{name}: {told:#}"
    );

    // Each sampled round: the old values were stored, and the new ones are.
    assert_eq!(ids.len() as u64, told["overwritten"].as_u64().unwrap().min(20), "{name}");
    for row in told["sample"].as_array().unwrap() {
        let fields = row["fields"].as_object().unwrap();
        assert!(!fields.is_empty(), "{name}: {row:#}");
        let id = row["game_instance_id"].as_u64().unwrap();
        for (field, sides) in fields.iter().filter(|(field, _)| field.contains("amount")) {
            assert!(
                values_before[&id].contains(&(field.clone(), sides["stored"].clone())),
                "{name}: {row:#}"
            );
            assert!(values_after[&id].contains(&(field.clone(), sides["file"].clone())), "{name}: {row:#}");
        }
    }
    told.clone()
}

/// The amounts of rounds by id; of a round that is stored several times, all of them.
async fn values(server: &Server, ids: &[u64]) -> BTreeMap<u64, Vec<(String, Value)>> {
    let names = ["real_amount_bet", "bonus_amount_bet", "real_amount_win", "bonus_amount_win"];
    let mut values = BTreeMap::<u64, Vec<_>>::new();
    let list = ids.iter().map(u64::to_string).chain(["0".to_owned()]).collect::<Vec<_>>().join(",");
    let sql = format!(
        "SELECT game_instance_id, {} FROM game_rounds WHERE game_instance_id IN ({list})",
        names.join(", ")
    );
    for row in server.clickhouse(sql).await.lines() {
        let mut fields = row.split('\t');
        let of_round = values.entry(fields.next().unwrap().parse().unwrap()).or_default();
        of_round.extend(
            names.iter().zip(fields).map(|(name, text)| {
                ((*name).to_owned(), if text == "\\N" { Value::Null } else { text.into() })
            }),
        );
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_the_repair_of_each_damage_then_does_and_changes_nothing() {
    let bench = Bench::new().await;
    let server = &bench.server;
    // Rounds that are missing, in hours that count them, and hours that count their rounds twice.
    damage(server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 997 = 3").await;
    server
        .clickhouse(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE cityHash64(user_id) % 7 = 1",
        )
        .await;
    let told = preview_and_repair(&bench, "deleted rounds and doubled hours", "").await;
    assert!(told["produced"].as_u64() > Some(10) && told["hours_rebuilt"].as_u64() > Some(10), "{told:#}");

    // Rounds that differ, some of them in hours that are rebuilt: these follow what is stored, and differ from the file.
    let change = "real_amount_bet = 1234567890123456.12345678, real_amount_win = NULL, game_id = game_id + 1, user_id = concat('~', user_id)";
    damage(server, &format!("ALTER TABLE game_rounds UPDATE {change} WHERE game_instance_id % 503 = 1"))
        .await;
    damage(server, "ALTER TABLE game_rounds DELETE WHERE game_instance_id % 503 = 2").await;
    server
        .clickhouse(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE cityHash64(user_id) % 5 = 1",
        )
        .await;
    let told = preview_and_repair(&bench, "rounds that differ and stay", "prefer=stored").await;
    assert_eq!(told["overwritten"], 0);
    let told = preview_and_repair(&bench, "rounds that differ and are overwritten", "prefer=file").await;
    assert!(told["overwritten"].as_u64() > Some(30), "{told:#}");
    bench.assert_exact().await;

    // Copies of rounds. The first copy stays; it differs from the file only in every second case.
    for (modulus, rest, values) in [(2503, 1, "ifNull(real_amount_bet, 0) + 1"), (2503, 2, "real_amount_bet")]
    {
        let insert = format!(
            "INSERT INTO game_rounds SELECT * REPLACE ({values} AS real_amount_bet, kafka_offset + 1000000 AS kafka_offset, created_timestamp + INTERVAL {rest} HOUR AS \
             created_timestamp) FROM game_rounds WHERE game_instance_id % {modulus} = {rest}"
        );
        server.clickhouse(insert).await;
    }
    let change = "UPDATE bonus_amount_bet = 7 WHERE game_instance_id % 2503 = 2";
    damage(server, &format!("ALTER TABLE game_rounds {change}")).await;
    let told = preview_and_repair(&bench, "copies and rounds that differ", "prefer=file").await;
    assert!(
        told["removed"].as_u64() > told["overwritten"].as_u64() && told["overwritten"].as_u64() > Some(3),
        "{told:#}"
    );
    bench.assert_exact().await;

    // Rounds of the upload that are not in its file, and copies of these.
    let foreign = format!(
        "INSERT INTO game_rounds SELECT * REPLACE (game_instance_id + 3000000000 AS game_instance_id, false AS recounted, \
         '{}' AS upload_id) FROM game_rounds WHERE game_instance_id % 5003 = 0",
        bench.upload_id
    );
    server.clickhouse(&foreign).await;
    server.clickhouse(foreign).await;
    let told = preview_and_repair(&bench, "unexpected rounds that stay", "").await;
    assert!(told["unchanged"]["unexpected"].as_u64() > Some(2) && told["removed"] == 0, "{told:#}");
    // A copy of another round, to be removed together with these.
    server
        .clickhouse("INSERT INTO game_rounds SELECT * REPLACE (false AS recounted) FROM game_rounds WHERE game_instance_id % 5003 = 1")
        .await;
    let told = preview_and_repair(&bench, "unexpected rounds that are removed", "remove=unexpected").await;
    assert!(told["removed"].as_u64() > Some(8), "{told:#}");
    bench.assert_exact().await;

    crashes::damage_all(&bench, 1).await;
    preview_and_repair(&bench, "everything at once", "prefer=file&remove=unexpected").await;
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_refused_like_the_repair_and_says_when_data_has_changed() {
    let server = Server::start(&[]).await;
    server.upload(csv(0..20), "wait=visible").await.ok();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("file.csv");
    // One round differs, one is missing, and of one nobody knows what is right.
    let rows =
        format!("{}{}{}{}{}", lines(0..10), line(10, "0.5"), line(90, "1"), line(3, "0.75"), line(3, "0.25"));
    std::fs::write(&file, format!("{}\n{rows}", crate::harness::files::HEADER)).unwrap();
    let report = server.reconcile(&file).await;
    let id = report["id"].as_str().unwrap();
    let told = preview(&server, id, "prefer=file").await.ok();
    let told = &told["preview"];
    assert_eq!(
        [&told["produced"], &told["overwritten"], &told["unchanged"]["contradictory"]],
        [1; 3],
        "{told:#}"
    );
    assert_eq!((&told["data_may_have_changed"], &told["note"]), (&false.into(), &Value::Null), "{told:#}");
    let overwritten = &told["totals"]["overwritten"];
    let bets = ["before", "after"].map(|side| overwritten[side]["real_amount_bet"].as_str().unwrap());
    assert_eq!(bets, ["0.25", "0.5"]);
    assert_eq!(
        told["sample"][0]["fields"]["real_amount_bet"],
        serde_json::json!({ "file": "0.5", "stored": "0.25" })
    );
    let all = server.get(told["links"]["different"].as_str().unwrap()).await.ok();
    assert_eq!(all.as_str().map(|text| text.lines().count()), Some(2), "{all}");

    // Another upload brings the missing round: the repair would not produce it.
    server.upload(format!("{}\n{}", crate::harness::files::HEADER, line(90, "1")), "wait=visible").await.ok();
    let told = preview(&server, id, "prefer=file").await.ok();
    let told = &told["preview"];
    assert_eq!((&told["data_may_have_changed"], &told["produced"]), (&true.into(), &0.into()), "{told:#}");
    assert!(told["note"].as_str().unwrap().contains("compares again"), "{told:#}");

    preview(&server, "00000000-0000-0000-0000-000000000000", "").await.problem(404, "no_such_job");
    preview(&server, "nonsense", "").await.problem(404, "no_such_job");
    for query in ["prefer=nobody", "remove=all", "format=csv", "preview=true"] {
        preview(&server, id, query).await.problem(400, "invalid_parameter");
    }
    let failed = server
        .send(|http| http.post(server.url("/reconcile")).body(crate::harness::files::with_endless_line()))
        .await;
    let failed = failed.body["id"].as_str().unwrap().to_owned();
    crate::harness::process::until("the job has failed", async || {
        (server.get(&format!("/reconcile/{failed}")).await.ok()["state"] == "failed").then_some(())
    })
    .await;
    assert_eq!(preview(&server, &failed, "").await.problem(409, "not_done")["state"], "failed");

    damage(
        &server,
        &format!("ALTER TABLE reconcile_differences DELETE WHERE job_id = '{id}' AND kind = 'different'"),
    )
    .await;
    preview(&server, id, "").await.problem(410, "differences_expired");
    let repair = server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair")))).await;
    repair.problem(410, "differences_expired");
    let owner = "INSERT INTO reconcile_jobs SELECT * REPLACE (version + 1 AS version, toString(generateUUIDv4()) AS owner) FROM reconcile_jobs";
    server.clickhouse(format!("{owner} WHERE id = '{id}' ORDER BY version DESC LIMIT 1")).await;
    preview(&server, id, "").await.problem(409, "job_elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_needs_no_loader() {
    let server = Server::start(&["--loader", "none"]).await;
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("file.csv");
    std::fs::write(&file, csv(0..20)).unwrap();
    let report = server.reconcile(&file).await;
    let id = report["id"].as_str().unwrap();
    let told = preview(&server, id, "").await.ok();
    assert_eq!(told["preview"]["produced"], 20, "{told:#}");
    let repair = server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair")))).await;
    repair.problem(409, "not_loading");
}
