//! SIGKILL of ClickHouse during an insert, which is damage, and of the server and ClickHouse during a repair.

use serde_json::Value;

use super::{Bench, assert_counts, assert_nothing_is_left, damage, ended};
use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::process::{signal, until};

/// Returns a statement that gives the view the query with which the server creates it.
fn view() -> String {
    let created = include_str!("../../../queries/bets/tables/3_hourly_aggregates_view.sql");
    let (_, query) = created.split_once(" AS\n").expect("a query");
    format!("ALTER TABLE hourly_aggregates_view MODIFY QUERY {query}")
}

/// Lists hours that are not the sum of their rounds. Operators run it, too.
const HOURS_AGAINST_ROUNDS: &str = include_str!("../../../queries/bets/checks/hours_against_rounds.sql");

/// Another client inserts rounds as the loader does, but does not repeat an interrupted insert. The view is slowed down. So when
/// ClickHouse is killed, the rounds are stored and their hours are not.
#[tokio::test(flavor = "multi_thread")]
async fn hours_lost_by_a_kill_between_two_inserts_are_found_and_rebuilt() {
    let bench = Bench::new().await;
    let server = &bench.server;
    server
        .clickhouse(view().replace("WHERE NOT recounted", "WHERE NOT recounted AND sleepEachRow(0.1) = 0"))
        .await;
    let insert = "INSERT INTO game_rounds SELECT * REPLACE (game_instance_id + 1000000000 AS game_instance_id, false AS recounted, \
                  NULL AS upload_id) FROM game_rounds WHERE game_instance_id % 1009 = 0";
    let url = format!("{}/?database=game_data", server.addresses.clickhouse_url);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let engine = server.part("clickhouse").unwrap();
    let inserting = tokio::spawn(client.post(url).body(insert).send());
    let stored = "SELECT count() FROM game_rounds WHERE game_instance_id >= 1000000000";
    until("the rounds are stored", async || (server.clickhouse(stored).await != "0").then_some(())).await;
    assert!(signal(engine, "KILL"));
    let _ = inserting.await;
    server.until_ready().await;
    server.clickhouse(view()).await;

    let keys = "SELECT uniqExact(toStartOfHour(created_timestamp), user_id, game_id) FROM game_rounds \
                WHERE game_instance_id >= 1000000000";
    let lost: u64 = server.clickhouse(keys).await.parse().unwrap();
    assert!(lost > 10, "{lost}");
    let report = bench.found([0, 0, 0, lost]).await;
    assert_same(&by_hour(server).await, &bench.expected.by_hour);
    let job = bench.repair(&report, "").await;
    assert_eq!(job["repair"]["hours_rebuilt"], lost);
    assert_counts(&job, [0; 4]);
    bench.found([0; 4]).await;
    assert_eq!(server.clickhouse(HOURS_AGAINST_ROUNDS.replace("{database:Identifier}.", "")).await, "");
    assert_nothing_is_left(server).await;
}

/// Damages rounds and hours in every way. Each `number` damages other ones. Returns how many rounds are missing, differ and are unexpected.
pub(super) async fn damage_all(bench: &Bench, number: usize) -> [u64; 3] {
    let server = &bench.server;
    let mut counts = Vec::new();
    let ids = |modulus: u64| format!("game_instance_id % {modulus} = {number}");
    for (modulus, change) in [
        (53, "DELETE WHERE"),
        (59, "UPDATE game_id = game_id + 1, game_name = concat('~', game_name), real_amount_win = 3 WHERE"),
    ] {
        let condition = match modulus {
            53 => ids(53),
            modulus => format!("{} AND NOT {}", ids(modulus), ids(53)),
        };
        counts.push(bench.ids(&condition).await.len() as u64);
        damage(server, &format!("ALTER TABLE game_rounds {change} {condition}")).await;
    }
    server
        .clickhouse(format!(
            "INSERT INTO game_rounds SELECT * REPLACE (line + 1 AS line, false AS recounted) FROM game_rounds WHERE {} AND NOT {}",
            ids(61),
            ids(59)
        ))
        .await;
    let foreign = format!(
        "INSERT INTO game_rounds SELECT * REPLACE (game_instance_id + 3000000000 AS game_instance_id, false AS recounted, \
         '{}' AS upload_id) FROM game_rounds WHERE {} LIMIT 1 BY game_instance_id",
        bench.upload_id,
        ids(67)
    );
    server.clickhouse(foreign).await;
    counts.push(bench.ids("game_instance_id >= 3000000000").await.len() as u64);
    server
        .clickhouse(format!(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE cityHash64(user_id) % 7 = {number}"
        ))
        .await;
    counts.try_into().unwrap()
}

/// The steps of a repair, each with a query that says whether the repair has reached it.
const STEPS: [(&str, &str); 6] = [
    ("hours are noted", "SELECT count() > 0 FROM reconcile_repair_keys"),
    (
        "missing rows are produced",
        "SELECT count() > 0 FROM upload_ledger WHERE startsWith(file_name, 'repair of ')",
    ),
    ("rounds are overwritten", "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_values\\_%'"),
    ("rounds are removed", "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_removals\\_%'"),
    (
        "hours are renamed",
        "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_values\\_%' AND comment LIKE '%aggregate%'",
    ),
    (
        "all is checked again",
        "SELECT uniqExact(attempt) > 1 FROM reconcile_differences GROUP BY job_id HAVING max(found_at) > now() - 60 ORDER BY max(found_at) DESC LIMIT 1",
    ),
];

async fn ask(bench: &Bench, report: &Value) -> String {
    let id = report["id"].as_str().unwrap().to_owned();
    let url = bench.server.url(&format!("/reconcile/{id}/repair?prefer=file&remove=unexpected"));
    let asked = bench.server.send(|http| http.post(url)).await;
    assert_eq!(asked.status, 202, "{:#}", asked.body);
    id
}

/// How many of the kills must hit a running repair. A repair may end before the kill, if its last steps are quick.
const LEAST_HITS: usize = STEPS.len() - 2;

/// Kills a process at each step of a repair, and asserts that the repair still ends with exact results.
async fn killed_at_each_step(victim: &str) {
    let mut bench = Bench::new().await;
    let mut hits: Vec<&str> = Vec::new();
    for (number, (step, sql)) in STEPS.iter().enumerate() {
        // The query of a step must not find the upload of an earlier repair.
        bench.server.clickhouse("TRUNCATE TABLE reconcile_differences").await;
        damage(&bench.server, "ALTER TABLE upload_ledger DELETE WHERE startsWith(file_name, 'repair of ')")
            .await;
        let [missing, different, unexpected] = damage_all(&bench, number).await;
        let report = bench.server.reconcile(&bench.file).await;
        let hours = report["hours"]["different"].as_u64().unwrap();
        assert!(hours > 10, "{report:#}");
        assert_counts(&report, [missing, different, unexpected, hours]);
        let id = ask(&bench, &report).await;
        let path = format!("/reconcile/{id}");
        until(step, async || {
            let is_there = bench.server.clickhouse(*sql).await == "1";
            let has_ended = async || bench.server.get(&path).await.ok()["repair"]["state"] == "done";
            (is_there || has_ended().await).then_some(())
        })
        .await;
        match victim {
            "server" => bench.server.kill(),
            part => drop(bench.server.kill_part(part).await),
        }
        let killed_at = chrono::Utc::now().timestamp_millis();
        if victim == "server" {
            bench.server.restart().await;
        }
        bench.server.until_ready().await;
        let job = ended(&bench.server, &id).await;
        let done_at = "SELECT toUnixTimestamp64Milli(max(written_at)) FROM reconcile_repairs WHERE state = 'done' AND job_id =";
        let done_at: i64 = bench.server.clickhouse(format!("{done_at} '{id}'")).await.parse().unwrap();
        let is_hit = done_at > killed_at;
        eprintln!("repair: {victim} killed when {step} (in mid-repair: {is_hit}): {}", job["repair"]);
        hits.extend(is_hit.then_some(*step));
        assert_counts(&job, [0; 4]);
        let repair = &job["repair"];
        assert_eq!(
            (&repair["produced"], &repair["overwritten"]),
            (&missing.into(), &different.into()),
            "{step}"
        );
        assert_eq!(repair["hours_rebuilt"], hours, "{step}");
        bench.assert_exact().await;
    }
    assert!(hits.len() >= LEAST_HITS, "only these kills hit a running repair: {hits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_completes_after_its_server_was_killed_at_any_step() {
    killed_at_each_step("server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_completes_after_clickhouse_was_killed_at_any_step() {
    killed_at_each_step("clickhouse").await;
}
