//! A row with several faults: rejected once, with all of them, wherever its rejects are shown.

use serde_json::{Value, json};

use crate::harness::command::{client, run};
use crate::harness::dead_letters;
use crate::harness::files::{HEADER, line, lines};
use crate::harness::server::Server;

/// A row with three faults, in the order of the columns; then one with two others.
const BAD: [&str; 2] = [
    "10/11/2019 08:20:41,1.23457E+18,player,7,12.5x,0,0.1,NULL,Book of Ra,Novomatic",
    "2019-10-22 08:20:41,8,,7,0,0,0.1x,NULL,Book of Ra,Novomatic",
];

/// Column, code and value of their faults.
const FAULTS: [&[[&str; 3]]; 2] = [
    &[
        ["created_timestamp", "not_a_timestamp", "10/11/2019 08:20:41"],
        ["game_instance_id", "digits_lost", "1.23457E+18"],
        ["real_amount_bet", "not_a_decimal", "12.5x"],
    ],
    &[["user_id", "missing_value", ""], ["real_amount_win", "not_a_decimal", "0.1x"]],
];

fn file() -> String {
    format!("{HEADER}\n{}{}\n{}\n{}", lines(0..3), BAD[0], BAD[1], line(3, "x"))
}

/// The faults of a reject, without their reasons, which must be there.
fn faults(reject: &Value) -> Vec<[&str; 3]> {
    let faults = reject["faults"].as_array().unwrap();
    assert!(faults.iter().all(|fault| !fault["reason"].as_str().unwrap().is_empty()), "{reject:#}");
    faults
        .iter()
        .map(|fault| ["column", "code", "value"].map(|member| fault[member].as_str().unwrap()))
        .collect()
}

async fn listed(server: &Server, receipt: &Value, query: &str) -> Value {
    let path = receipt["links"]["rejects"].as_str().unwrap();
    server.get(&format!("{path}?{query}")).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_row_is_reported_and_the_row_counts_once() {
    let server = Server::start(&[]).await;
    let by_code = json!({ "not_a_timestamp": 1, "missing_value": 1, "not_a_decimal": 1 });
    let seen = server.upload(file(), "validate_only=true").await.ok();
    let receipt = server.upload(file(), "wait=visible").await.ok();
    for receipt in [&seen, &receipt] {
        assert_eq!((&receipt["rejected"], &receipt["rejects_by_code"]), (&json!(3), &by_code), "{receipt:#}");
        for (reject, expected) in receipt["rejects"].as_array().unwrap().iter().zip(FAULTS) {
            assert_eq!(faults(reject), expected);
            for member in ["column", "code", "reason", "value"] {
                assert_eq!(reject[member], reject["faults"][0][member], "the first one counts");
            }
        }
    }

    let letters = dead_letters::read(&server, 3).await;
    for (letter, (reject, raw)) in
        [&letters[&5], &letters[&6]].into_iter().zip(receipt["rejects"].as_array().unwrap().iter().zip(BAD))
    {
        let named: Value = serde_json::from_str(&letter.headers["faults"]).unwrap();
        assert_eq!((&named, letter.raw.as_str()), (&reject["faults"], raw));
    }

    // A code finds a row by any of its faults, in lists, replays and SQL.
    // One line of NDJSON is a JSON document.
    let reject = listed(&server, &receipt, "format=ndjson&code=digits_lost").await;
    assert_eq!((faults(&reject), &reject["raw"]), (FAULTS[0].to_vec(), &json!(BAD[0])));
    let csv = listed(&server, &receipt, "code=not_a_decimal").await.as_str().unwrap().to_owned();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let in_words = "user_id missing_value: a value is required | real_amount_win not_a_decimal: not a decimal number; write";
    assert!(csv.contains(in_words), "{csv}");
    let sql = "SELECT line, codes FROM rejects WHERE has(codes, 'not_a_decimal') ORDER BY line";
    let expected = "5\t['not_a_timestamp','digits_lost','not_a_decimal']\n6\t['missing_value','not_a_decimal']\n7\t['not_a_decimal']";
    assert_eq!(server.clickhouse(sql).await, expected);
    let path = receipt["links"]["self"].as_str().unwrap();
    let replay = async |query: &str, body: String| {
        let url = server.url(&format!("{path}/replay?{query}"));
        server.send(|http| http.post(url).header("Content-Type", "text/csv").body(body)).await.ok()
    };
    let again = replay("code=digits_lost", String::new()).await;
    assert_eq!((&again["rows"], faults(&again["rejects"][0])), (&json!(1), FAULTS[0].to_vec()), "{again:#}");

    // What was downloaded is corrected and replayed; of one row only some faults were corrected.
    let corrected = csv
        .replace("10/11/2019 08:20:41,1.23457E+18,player,7,12.5x", "2019-11-10 08:20:41,7,player,7,12.5")
        .replace(",8,,7,0,0,0.1x,", ",8,player,7,0,0,0.1x,");
    let done = replay("", corrected).await;
    assert_eq!((&done["replayed"], &done["still_rejected"]), (&json!(1), &json!(2)), "{done:#}");
    assert_eq!(faults(&done["rejects"][0]), FAULTS[1][1..]);
    assert_eq!(
        server.upload(file(), "force=true&on_error=abort").await.problem(422, "row_rejected")["detail"]
            .as_str()
            .unwrap()
            .matches("column ")
            .count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_every_fault_of_a_row() {
    let server = Server::start(&[]).await;
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("faults.csv");
    std::fs::write(&path, file()).unwrap();
    let path = path.to_str().unwrap();
    let said = run(client("upload", &server.addresses.api, "", &[path])).await;
    for [column, code, _] in FAULTS.into_iter().flatten() {
        assert!(
            said.stdout.contains(&format!("{column}: ")) && said.stdout.contains(&format!("({code})")),
            "{said:?}"
        );
    }
    let uploads = server.get("/uploads").await.ok();
    let id = uploads["items"][0]["upload_id"].as_str().unwrap().to_owned();
    let arguments = ["--upload", &id, "--code", "digits_lost"];
    let said = run(client("dlq replay", &server.addresses.api, "", &arguments)).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for [column, code, _] in FAULTS[0] {
        assert!(said.stdout.contains(column) && said.stdout.contains(code), "{said:?}");
    }
}
