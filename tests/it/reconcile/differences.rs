//! Tables are damaged directly in ClickHouse. The API must list exactly that damage.

use serde_json::{Value, json};

use super::jobs::{begin, post, until_ended, until_phase};
use crate::harness::files::{self, line};
use crate::harness::server::Server;

/// The ids of differences of one kind.
fn ids(list: &[Value], kind: &str) -> Vec<u64> {
    let of_kind = list.iter().filter(|row| row["kind"] == kind);
    of_kind.map(|row| row["game_instance_id"].as_u64().unwrap()).collect()
}

async fn ndjson(server: &Server, path: &str, query: &str) -> Vec<Value> {
    let url = server.url(&format!("{path}/differences?{query}"));
    let answer = server.send(|http| http.get(url).header("accept", "application/x-ndjson")).await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    match answer.body {
        Value::String(text) => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        // A single line is parsed as JSON already.
        one => vec![one],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_damage_is_found_exactly_and_listed() {
    let server = Server::start(&[]).await;
    let file = files::csv(0..1000);
    let receipt = server.upload(file.clone(), "wait=visible").await.ok();
    let upload = receipt["upload_id"].as_str().unwrap().to_owned();
    // Another file with rounds in the same hour.
    server.upload(files::csv(5000..5010), "wait=visible").await.ok();
    let matching = until_ended(&server, &begin(&server, file.clone()).await).await;
    assert_eq!((&matching["verdict"], &matching["uploads"]), (&"match".into(), &json!([upload])));
    assert_eq!(matching["hours"], json!({ "checked": 3, "different": 0, "shared": 3 }));
    assert_eq!(ndjson(&server, matching["links"]["self"].as_str().unwrap(), "").await, Vec::<Value>::new());

    let settings = "SETTINGS mutations_sync = 2";
    for sql in [
        format!("ALTER TABLE game_rounds DELETE WHERE game_instance_id IN (7, 500) {settings}"),
        format!(
            "ALTER TABLE game_rounds UPDATE real_amount_win = 0.05 WHERE game_instance_id = 911 {settings}"
        ),
        "INSERT INTO game_rounds SELECT * REPLACE (game_instance_id + 100000 AS game_instance_id) \
         FROM (SELECT * FROM game_rounds WHERE game_instance_id IN (1, 2, 4))"
            .to_owned(),
        // The view has counted them, so only that hour is doubled.
        "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE user_id = 'player-0'".to_owned(),
    ] {
        server.clickhouse(sql).await;
    }
    let path = begin(&server, file.clone() + line(3, "9").as_str()).await;
    let report = until_ended(&server, &path).await;
    // These bytes were never uploaded, so the report names no upload.
    assert_eq!((&report["unexpected"], &report["uploads"]), (&0.into(), &json!([])));
    let path = begin(&server, file.clone()).await;
    let report = until_ended(&server, &path).await;
    assert_eq!((&report["verdict"], &report["uploads"]), (&"mismatch".into(), &json!([upload])));
    let counts =
        ["matched", "missing", "different", "duplicate_in_file", "unexpected"].map(|name| &report[name]);
    assert_eq!(counts, [997, 2, 1, 0, 3], "{report:#}");
    // The hour of player-0 is doubled. For player-1, aggregates and rounds agree on rounds 7, 100001, 100004, ...
    let list = ndjson(&server, &path, "").await;
    assert_eq!(ids(&list, "missing"), [7, 500]);
    assert_eq!(ids(&list, "different"), [911]);
    assert_eq!(ids(&list, "unexpected"), [100_001, 100_002, 100_004]);
    assert_eq!(
        list[0],
        json!({ "kind": "different", "line": 913, "game_instance_id": 911,
                "fields": { "real_amount_win": { "file": "0.1", "stored": "0.05" } } })
    );
    let missing = &list[1];
    assert_eq!(
        (&missing["line"], &missing["file"]["created_timestamp"], &missing["file"]["bonus_amount_win"]),
        (&9.into(), &"2020-02-03T04:05:06Z".into(), &Value::Null)
    );
    let unexpected = list.iter().find(|row| row["kind"] == "unexpected").unwrap();
    assert_eq!((&unexpected["upload_id"], &unexpected["upload_line"]), (&json!(upload), &3.into()));
    let hours: Vec<&Value> = list.iter().filter(|row| row["kind"] == "hour").collect();
    assert_eq!(report["hours"]["different"], hours.len());
    let doubled = hours.iter().find(|hour| hour["player_id"] == "player-0").unwrap();
    assert_eq!((&doubled["created_hour"], &doubled["game_id"]), (&"2020-02-03T04:00:00Z".into(), &7.into()));
    assert_eq!(doubled["expected"]["rounds_played"], 334 + 3);
    assert_eq!(doubled["aggregated"]["rounds_played"], 2 * (334 + 3));
    assert_eq!(doubled["aggregated"]["real_amount_bet"], "168.5");
    assert_eq!(report["sample"], json!(sample_of(&list)));

    let of_kind = ndjson(&server, &path, "kind=unexpected").await;
    assert_eq!(of_kind.len(), 3);
    assert_csv_is_the_same(&server, &path, &list).await;
}

/// The order of a sample: rows by line, then rounds, then hours.
fn sample_of(list: &[Value]) -> Vec<Value> {
    let mut sample = list.to_vec();
    sample.sort_by_key(|row| {
        let place = match row["kind"].as_str() {
            Some("unexpected") => 1,
            Some("hour") => 2,
            _ => 0,
        };
        (place, row["line"].as_u64())
    });
    sample.truncate(20);
    sample
}

async fn assert_csv_is_the_same(server: &Server, path: &str, list: &[Value]) {
    let answer = server.get(&format!("{path}/differences?format=csv")).await;
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    assert!(answer.headers["content-disposition"].to_str().unwrap().ends_with(".csv\""));
    let text = answer.body.as_str().unwrap().to_owned();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let field = |row: &csv::StringRecord, name: &str| {
        let at = names.iter().position(|title| title == name).unwrap_or_else(|| panic!("{name}: {names:?}"));
        row[at].to_owned()
    };
    let ids: Vec<String> = rows.iter().map(|row| field(row, "game_instance_id")).collect();
    let expected =
        list.iter().map(|row| row["game_instance_id"].as_u64().map(|id| id.to_string()).unwrap_or_default());
    assert_eq!(ids, expected.collect::<Vec<_>>());
    let different =
        ["kind", "line", "differing", "file_real_amount_win", "stored_real_amount_win", "file_game_name"];
    assert_eq!(
        different.map(|name| field(&rows[0], name)),
        ["different", "913", "real_amount_win", "0.1", "0.05", "Café 日本"]
    );
    let hour = rows.iter().find(|row| field(row, "player_id") == "player-0").unwrap();
    assert_eq!(field(hour, "aggregated_rounds_played"), "674");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rounds_of_a_named_upload_must_be_in_the_file() {
    let server = Server::start(&[]).await;
    let receipt = server.upload(files::csv(0..20), "wait=visible").await.ok();
    let upload = receipt["upload_id"].as_str().unwrap();
    let job = post(&server, files::csv(5..20), &format!("upload_id={upload}&upload_id={upload}")).await;
    let path = job.headers["location"].to_str().unwrap().to_owned();
    let report = until_ended(&server, &path).await;
    assert_eq!((&report["matched"], &report["unexpected"]), (&15.into(), &5.into()));
    assert_eq!((&report["verdict"], &report["uploads"]), (&"mismatch".into(), &json!([upload])));
    assert_eq!(ids(&ndjson(&server, &path, "").await, "unexpected"), [0, 1, 2, 3, 4]);
    // No row of the file is valid, so all rounds of the upload are unexpected.
    let job = post(&server, format!("{}\n", files::HEADER), &format!("upload_id={upload}")).await;
    let path = job.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(until_ended(&server, &path).await["unexpected"], 20);

    for id in ["x", "01a1fc31-d9bb-770c-8e13-ab4bd67dcc88"] {
        let problem = post(&server, files::csv(0..2), &format!("upload_id={id}")).await;
        assert_eq!(problem.problem(400, "invalid_parameter")["parameter"], "upload_id");
    }
    let many = vec![format!("upload_id={upload}"); 101].join("&");
    post(&server, files::csv(0..2), &many).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_list_of_differences_is_an_error_that_says_why() {
    let server = Server::start(&["--loader", "none"]).await;
    let failed = begin(&server, files::with_endless_line()).await;
    until_ended(&server, &failed).await;
    let problem = server.get(&format!("{failed}/differences")).await.problem(409, "not_done");
    assert_eq!(problem["state"], "failed");
    let done = begin(&server, files::csv(0..5)).await;
    let report = until_ended(&server, &done).await;
    assert_eq!(report["links"]["differences"], format!("{done}/differences"));
    server.upload(files::csv(0..1), "").await.ok();
    let running = begin(&server, files::csv(0..2)).await;
    until_phase(&server, &running, "waiting").await;
    assert_eq!(server.get(&running).await.ok()["links"], json!({ "self": running }));
    let problem = server.get(&format!("{running}/differences")).await.problem(409, "not_done");
    assert_eq!(problem["state"], "running");
    for query in ["kind=matched", "format=xml", "kind=hour&kind=hour", "code=1"] {
        server.get(&format!("{done}/differences?{query}")).await.problem(400, "invalid_parameter");
    }
    server.get("/reconcile/x/differences").await.problem(404, "no_such_job");
    // As if they had expired.
    server
        .clickhouse("ALTER TABLE reconcile_differences DELETE WHERE line = 3 SETTINGS mutations_sync = 2")
        .await;
    server.get(&format!("{done}/differences")).await.problem(410, "differences_expired");
}
