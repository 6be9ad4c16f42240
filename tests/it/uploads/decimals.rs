//! Amounts with decimal commas.

use serde_json::{Value, json};

use super::text;
use crate::harness::command::{client, run};
use crate::harness::files::{HEADER, line};
use crate::harness::server::Server;

const STORED: &str = "SELECT game_instance_id, real_amount_bet FROM game_rounds ORDER BY 1";

/// A file with semicolons, a row for each bet.
fn file(bets: &[&str]) -> String {
    let rows: String = bets.iter().zip(0..).map(|(bet, id)| line(id, bet)).collect();
    format!("{HEADER}\n{rows}").replace(",0.1,", ",0,").replace(',', ";").replace("@", ",")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_amount_is_stored_wrong_even_if_the_comma_comes_late_in_the_file() {
    let server = Server::start(&[]).await;
    let mut bets = vec!["0"; 30_000];
    (bets[0], bets[1], bets[29_999]) = ("1.000", "5", "236@48");
    let late = file(&bets);
    for query in ["validate_only=true", "wait=visible"] {
        let problem = server.upload(late.clone(), query).await.problem(422, "decimal_comma");
        let place = ["line", "column", "value", "ambiguous_rows"].map(|member| problem[member].clone());
        assert_eq!(
            place,
            [json!(30_001), json!("real_amount_bet"), json!("236,48"), json!(0)],
            "{problem:#}"
        );
        assert!(text(&problem, "detail").contains("decimal=comma"), "{problem:#}");
    }
    let job = server.reconcile_body(late.clone(), "").await;
    assert!(
        text(&job, "reason")
            .starts_with("line 30001, column real_amount_bet: \"236,48\" has a decimal comma")
    );
    let receipt = server.upload(late.clone(), "wait=visible&decimal=comma").await.ok();
    assert_eq!((&receipt["accepted"], text(&receipt, "decimal")), (&json!(30_000), "comma"), "{receipt:#}");
    // The rows that the failed upload stored are right: nothing conflicts.
    assert_eq!(receipt["conflict"], 0, "{receipt:#}");
    assert_eq!(server.clickhouse(format!("{STORED} LIMIT 2")).await, "0\t1000\n1\t5");
    let sum = "SELECT sum(real_amount_bet) FROM hourly_aggregates";
    assert_eq!(server.clickhouse(sum).await, "1241.48");
    let job = server.reconcile_body(late, "decimal=comma").await;
    assert_eq!((&job["verdict"], &job["matched"]), (&json!("match"), &json!(30_000)), "{job:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decimal_mark_applies_to_uploads_replays_and_commands() {
    let server = Server::start(&[]).await;
    // Without a comma the mark is a point; the same bytes with another mark are another upload.
    let plain = file(&["1.000", "12.5"]);
    let receipt = server.upload(plain.clone(), "wait=visible").await.ok();
    assert_eq!((&receipt["new"], &receipt["decimal"]), (&json!(2), &Value::Null), "{receipt:#}");
    assert_eq!(server.clickhouse(STORED).await, "0\t1\n1\t12.5");
    assert_eq!(server.upload(plain.clone(), "").await.ok()["state"], "duplicate");
    let receipt = server.upload(plain.clone(), "wait=visible&decimal=comma").await.ok();
    assert_eq!((&receipt["conflict"], &receipt["rejected"]), (&json!(1), &json!(1)), "{receipt:#}");
    server.upload(plain, "decimal=dot").await.problem(400, "invalid_parameter");

    // On the command line. The repair gives the rounds the amounts of the file.
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("comma.csv");
    std::fs::write(&path, file(&["1.000", "12@5", "1.234.567@89"])).unwrap();
    let path = path.to_str().unwrap();
    let command = |name: &str, arguments: &[&str]| client(name, &server.addresses.api, "", arguments);
    let said = run(command("upload", &[path])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("422 decimal_comma") && said.stderr.contains("--decimal comma"), "{said:?}");
    // The first round is stored with the amount of the decimal point.
    let said = run(command("upload", &["--decimal", "comma", path])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    let said = run(command("reconcile", &["--decimal", "comma", "--repair", "--prefer", "file", path])).await;
    assert!(said.code == Some(0) && said.stdout.contains("1 overwritten"), "{said:?}");
    assert_eq!(server.clickhouse(STORED).await, "0\t1000\n1\t12.5\n2\t1234567.89");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_of_a_file_refused_for_decimal_commas_are_replayed_only_with_a_mark() {
    let server = Server::start(&[]).await;
    let problem = server.upload(file(&["x", "1@5"]), "").await.problem(422, "decimal_comma");
    assert_eq!(problem["rejected"], 1, "{problem:#}");
    let path = text(&problem["links"], "self");
    let replay = |query: &str| server.url(&format!("{path}/replay?{query}"));
    let corrected =
        format!("{},reject_line\n{},2\n", HEADER, line(0, "1.000").trim_end().replace("0.1", "1"));
    let refused = server.send(|http| http.post(replay("")).body(corrected.clone())).await;
    assert!(text(&refused.problem(400, "invalid_parameter"), "detail").contains("decimal commas"));
    let done = server.send(|http| http.post(replay("decimal=comma&wait=visible")).body(corrected)).await.ok();
    assert_eq!((&done["replayed"], &done["still_rejected"]), (&json!(1), &json!(0)), "{done:#}");
    assert_eq!(server.clickhouse(STORED).await, "0\t1000");
}
