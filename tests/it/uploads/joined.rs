//! Files that were joined: a header in the middle, with other names for columns, and rows that end in a delimiter.

use serde_json::{Value, json};

use super::{number, text};
use crate::harness::command::{client, run};
use crate::harness::files::{HEADER, line, lines};
use crate::harness::server::Server;

/// The header with bets and wins swapped.
fn swapped() -> String {
    let header = HEADER.replace("real_amount_bet", "x").replace("real_amount_win", "real_amount_bet");
    header.replace(",x,", ",real_amount_win,")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_after_a_header_are_read_by_it_by_uploads_reconciliations_and_replays() {
    let server = Server::start(&[]).await;
    // A bet of 0.25 and a win of 0.1, then the same header, then bets of 0.1 and wins of 0.25, one of them invalid.
    let file = format!(
        "{HEADER}\n{}{HEADER}\n{}{}\n{}{}{}",
        lines(0..10),
        lines(10..20),
        swapped(),
        lines(20..30),
        line(30, "\"12,5\"").replace(",7,", ",7.5,"),
        line(31, "x"),
    );
    let checked = server.upload(file.clone(), "validate_only=true&decimal=point").await.ok();
    let receipt = server.upload(file.clone(), "wait=visible&decimal=point").await.ok();
    let later = json!({ "repeated": 1, "repeated_lines": [12], "changes": { "23": swapped() } });
    let stored = server.get(text(&receipt["links"], "self")).await.ok();
    for answer in [&checked, &receipt, &stored] {
        assert_eq!(answer["later_headers"], later, "{answer:#}");
        let counts = ["rows", "accepted", "rejected"].map(|member| number(answer, member));
        assert_eq!(counts, [32, 30, 2], "{answer:#}");
    }
    let sums = "SELECT game_instance_id >= 20 AS after, count(), sum(real_amount_bet), sum(real_amount_win) FROM game_rounds \
                GROUP BY after ORDER BY after";
    assert_eq!(server.clickhouse(sums).await, "0\t20\t5\t2\n1\t10\t1\t2.5");
    let report = server.reconcile_body(file.replace("\"12,5\"", "x"), "").await;
    assert_eq!((&report["verdict"], &report["matched"]), (&json!("match"), &json!(30)), "{report:#}");

    // A rejected line is split by its own header, into the columns of the first.
    let url = format!("{}?format=csv", text(&receipt["links"], "rejects"));
    let csv = server.get(&url).await.body.as_str().unwrap().to_owned();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let field = |name: &str| row[names.iter().position(|title| title == name).unwrap()].to_owned();
    let fields = ["game_id", "real_amount_bet", "real_amount_win", "reject_line"].map(field);
    assert_eq!(fields, ["7.5", "0.1", "12,5", "34"]);

    // Corrected by its own header: a bet of 0.1 and a win of 12.5.
    let replay = server.url(&format!("{}/replay?wait=visible", text(&receipt["links"], "self")));
    let corrected = csv.replace(",7.5,", ",7,").replace("12,5", "12.5").replace(",x,", ",0.75,");
    let done = server.send(|http| http.post(&replay).body(corrected)).await.ok();
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (2, 0), "{done:#}");
    let sql = "SELECT game_instance_id, real_amount_bet, real_amount_win FROM game_rounds WHERE game_instance_id >= 30 ORDER BY 1";
    assert_eq!(server.clickhouse(sql).await, "30\t0.1\t12.5\n31\t0.1\t0.75");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reads_a_rejected_line_by_the_header_before_it_and_with_the_given_mark() {
    let server = Server::start(&[]).await;
    let file = format!("{HEADER}\n{}{}\n{}", line(0, "\"1.000,5\""), swapped(), line(1, "\"1.000,5\""));
    let receipt = server.upload(file, "decimal=point").await.ok();
    assert_eq!((number(&receipt, "rejected"), text(&receipt, "decimal")), (2, "point"));
    let path = text(&receipt["links"], "self");
    let replay = |query: &str| server.url(&format!("{path}/replay?wait=visible{query}"));
    let done = server.send(|http| http.post(replay(""))).await.ok();
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (0, 2), "{done:#}");
    let done = server.send(|http| http.post(replay("&decimal=comma"))).await.ok();
    // 0.1 is not an amount with a decimal comma.
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (0, 2), "{done:#}");

    let file = format!("{HEADER}\n{}{}\n{}", line(2, "\"1.000,5\""), swapped(), line(3, "\"1.000,5\""));
    let receipt = server.upload(file.replace(",0.1,", ",5,"), "decimal=point").await.ok();
    let path = text(&receipt["links"], "self");
    let url = server.url(&format!("{path}/replay?wait=visible&decimal=comma"));
    let done = server.send(|http| http.post(url)).await.ok();
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (2, 0), "{done:#}");
    let sql = "SELECT game_instance_id, real_amount_bet, real_amount_win FROM game_rounds ORDER BY 1";
    assert_eq!(server.clickhouse(sql).await, "2\t1000.5\t5\n3\t5\t1000.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_lacks_a_column_ends_the_upload_and_the_reconciliation() {
    let server = Server::start(&[]).await;
    let file = format!("{HEADER}\n{}{}\n{}", lines(0..3), HEADER.replace(",provider", ""), lines(3..6));
    let problem = server.upload(file.clone(), "").await.problem(422, "header_changed");
    assert_eq!((&problem["line"], &problem["accepted"]), (&json!(5), &json!(3)), "{problem:#}");
    let upload = server.get(text(&problem["links"], "self")).await.ok();
    assert_eq!(upload["failure"]["code"], "header_changed");
    let job = server.reconcile_body(file, "").await;
    let reason = job["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("line 5 is a second header, which cannot be used: the header lacks provider"),
        "{reason}"
    );
}

/// Names for some columns, as a file has them, and the parameter that says so.
const NAMED: &str = "\"Player, ID\",Игра,Win: real";
const NAMES: &str = "user_id:\"Player, ID\",game_id:Игра,real_amount_win:Win: real";

#[tokio::test(flavor = "multi_thread")]
async fn columns_with_other_names_are_found_by_uploads_reconciliations_replays_and_commands() {
    let server = Server::start(&[]).await;
    let names = ["user_id,game_id", "real_amount_win"];
    let (player_and_game, win) = NAMED.rsplit_once(',').unwrap();
    let header = HEADER.replace(names[0], player_and_game).replace(names[1], win);
    // Every row ends in a delimiter, and the second header names the columns in another order.
    let rows = |ids| lines(ids).replace('\n', ",\n");
    let file = format!(
        "{header}\n{}{}{}\n{}",
        rows(0..10),
        line(10, "x").replace('\n', ",\n"),
        swapped().replace(names[0], player_and_game).replace(names[1], win),
        rows(11..20)
    );
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("columns", NAMES).finish();
    let problem = server.upload(file.clone(), "").await.problem(422, "missing_columns");
    assert_eq!(problem["missing"], json!(["user_id", "game_id", "real_amount_win"]));
    let checked = server.upload(file.clone(), &format!("{query}&validate_only=true")).await.ok();
    let receipt = server.upload(file.clone(), &format!("{query}&wait=visible")).await.ok();
    let stored = server.get(text(&receipt["links"], "self")).await.ok();
    for answer in [&checked, &receipt, &stored] {
        let counts = ["rows", "accepted", "rejected"].map(|member| number(answer, member));
        assert_eq!(counts, [20, 19, 1], "{answer:#}");
        assert_eq!(
            answer["columns"]["user_id"],
            json!({ "name": "Player, ID", "position": 3 }),
            "{answer:#}"
        );
        assert_eq!(
            answer["columns"]["real_amount_win"],
            json!({ "name": "Win: real", "position": 7 }),
            "{answer:#}"
        );
        assert_eq!(answer["ignored_columns"], json!([]), "{answer:#}");
    }
    let sums = "SELECT game_instance_id >= 10 AS after, count(), sum(real_amount_bet), sum(real_amount_win), any(game_id) \
                FROM game_rounds GROUP BY after ORDER BY after";
    assert_eq!(server.clickhouse(sums).await, "0\t10\t2.5\t1\t7\n1\t9\t0.9\t2.25\t7");

    // The same bytes are only a duplicate if they are read in the same way.
    let again = server.upload(file.clone(), &query).await.ok();
    assert_eq!(again["state"], "duplicate");
    server.upload(file.clone(), "columns=user_id:Other").await.problem(422, "missing_columns");

    // A replay reads the lines as the upload did: as they are, and corrected.
    let path = text(&receipt["links"], "self");
    let replay = server.url(&format!("{path}/replay?wait=visible"));
    let done = server.send(|http| http.post(&replay)).await.ok();
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (0, 1), "{done:#}");
    assert_eq!(done["rejects"][0]["code"], "not_a_decimal", "{done:#}");
    let csv = server.get(&format!("{path}/rejects?format=csv")).await.body.as_str().unwrap().to_owned();
    assert!(csv.contains("\"Player, ID\",Игра,"), "{csv}");
    let done = server.send(|http| http.post(&replay).body(csv.replace(",x,", ",0.25,"))).await.ok();
    assert_eq!((number(&done, "replayed"), number(&done, "still_rejected")), (1, 0), "{done:#}");

    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("named.csv");
    std::fs::write(&path, file.replacen(",x,", ",0.25,", 1)).unwrap();
    let path = path.to_str().unwrap();
    let api = server.addresses.api.clone();
    let said = run(client("reconcile", &api, "", &["--json", "--columns", NAMES, path])).await;
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["matched"]), (&json!("match"), &json!(20)), "{report:#}");
    let said = run(client("upload", &api, "", &["--json", "--columns", NAMES, path])).await;
    let receipt: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &receipt["duplicate"]), (Some(0), &json!(20)), "{said:?}");
}
