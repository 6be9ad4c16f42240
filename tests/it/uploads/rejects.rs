//! Rejected rows: listed, downloaded, corrected, uploaded again or replayed.

use serde_json::{Value, json};

use super::{assert_sums, number, text};
use crate::harness::command::{Said, client, run};
use crate::harness::files::{HEADER, csv, line, lines};
use crate::harness::server::{Answer, Server};

/// A file with 3 rejects: a bad bet, a name that is a formula, and a quote that is not closed in its line.
fn bad_file() -> String {
    let formula = line(11, "x").replace("Café 日本", "=1+1");
    let quote = line(12, "0.5").replace("Café", "\"Café");
    format!("{HEADER}\n{}{}{formula}{}{quote}", lines(0..10), line(10, "12.5x"), lines(20..30))
}

async fn download(server: &Server, receipt: &Value, query: &str) -> String {
    let answer = server.get(&format!("{}?{query}", text(&receipt["links"], "rejects"))).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    answer.body.as_str().unwrap_or_default().to_owned()
}

async fn replay(server: &Server, receipt: &Value, query: &str, body: Option<String>) -> Answer {
    let url = server.url(&format!("{}/replay?{query}", text(&receipt["links"], "self")));
    let post = |http: &reqwest::Client| match body {
        Some(body) => http.post(url).header("Content-Type", "text/csv").body(body),
        None => http.post(url),
    };
    server.send(post).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_listed_and_the_download_can_be_corrected_and_uploaded() {
    let server = Server::start(&[]).await;
    let receipt = server.upload(bad_file(), "wait=visible").await.ok();
    assert_eq!((number(&receipt, "rows"), number(&receipt, "rejected")), (23, 3), "{receipt:#}");
    assert_eq!(receipt["rejects_by_code"], json!({ "not_a_decimal": 2, "unclosed_quote": 1 }));

    let listed = server
        .send(|http| {
            let url = server.url(text(&receipt["links"], "rejects"));
            http.get(url).header("Accept", "application/x-ndjson")
        })
        .await;
    let listed: Vec<Value> =
        listed.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let file = bad_file();
    for reject in &listed {
        let (at, line) = (number(reject, "byte_offset") as usize, number(reject, "line") as usize);
        assert!(file[at..].starts_with(text(reject, "raw")), "{reject:#}");
        assert_eq!(file[..at].lines().count(), line - 1, "{reject:#}");
    }
    let codes: Vec<(&str, &str)> =
        listed.iter().map(|reject| (text(reject, "code"), text(reject, "column"))).collect();
    assert_eq!(
        codes,
        [("not_a_decimal", "real_amount_bet"), ("not_a_decimal", "real_amount_bet"), ("unclosed_quote", "")]
    );

    let csv = download(&server, &receipt, "code=not_a_decimal").await;
    let header = csv.lines().next().unwrap();
    assert!(
        header.starts_with(HEADER)
            && header.ends_with(
                ",reject_line,reject_byte_offset,reject_column,reject_code,reject_reason,reject_raw,reject_faults"
            ),
        "{header}"
    );
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.contains(",=1+1,"), "{csv}");
    assert!(download(&server, &receipt, "escape_formulas=true").await.contains(",'=1+1,"));
    let corrected = csv
        .replace(",12.5x,0,0.1,NULL,C", ",12.5,0,0.1,NULL,C")
        .replace(",x,0,0.1,NULL,=", ",1,0,0.1,NULL,=");
    let second = server.upload(corrected, "wait=visible").await.ok();
    assert_eq!((number(&second, "accepted"), number(&second, "rejected")), (2, 0), "{second:#}");
    let sql = "SELECT game_instance_id, toString(real_amount_bet), game_name FROM game_rounds \
               WHERE game_instance_id IN (10, 11) ORDER BY game_instance_id";
    assert_eq!(server.clickhouse(sql).await, "10\t12.5\tCafé 日本\n11\t1\t=1+1");
}

#[tokio::test(flavor = "multi_thread")]
async fn corrected_rows_and_rows_valid_by_other_rules_are_replayed_and_done() {
    let server = Server::start(&[]).await;
    let receipt = server.upload(bad_file(), "name=bad.csv&wait=visible").await.ok();
    // Nothing has become valid, and nothing goes to the dead-letter topic a second time.
    let none = replay(&server, &receipt, "", None).await.ok();
    assert_eq!(
        (number(&none, "replayed"), number(&none, "still_rejected"), number(&none, "rows")),
        (0, 3, 3)
    );
    assert_eq!((&none["replay_of"], &none["file_name"]), (&receipt["upload_id"], &json!("bad.csv")));
    assert_eq!(none["links"]["rejects"], receipt["links"]["rejects"]);
    assert_sums(&none);
    assert_eq!(server.clickhouse("SELECT count() FROM rejects").await, "3");

    // All corrected but the last, and a line that is not a reject.
    let corrected =
        download(&server, &receipt, "").await.replace(",12.5x,0", ",12.5,0").replace(",x,0", ",1,0");
    let unknown = format!("{},99,0,,,,\n", line(99, "1").trim_end());
    let body = format!("{corrected}{unknown}");
    let done = replay(&server, &receipt, "wait=visible", Some(body.clone())).await.ok();
    assert_eq!(
        (number(&done, "replayed"), number(&done, "still_rejected"), &done["state"]),
        (2, 2, &json!("visible"))
    );
    assert_eq!(done["rejects_by_code"], json!({ "no_open_reject": 1, "control_character": 1 }), "{done:#}");
    assert_sums(&done);
    let sql = format!(
        "SELECT game_instance_id, line FROM game_rounds WHERE upload_id = '{}' ORDER BY 1",
        text(&done, "upload_id")
    );
    assert_eq!(server.clickhouse(sql).await, "10\t12\n11\t13");
    assert_eq!(download(&server, &receipt, "").await.matches(",unclosed_quote,").count(), 1, "one is open");
    assert_eq!(download(&server, &receipt, "replayed=true").await.lines().count(), 3);
    assert_eq!(server.get(text(&receipt["links"], "self")).await.ok()["rejected"], 3);

    // Again: they are not open any more.
    let again = replay(&server, &receipt, "", Some(body.clone())).await.ok();
    assert_eq!((number(&again, "replayed"), number(&again, "still_rejected")), (0, 4), "{again:#}");
    // As if the server had been killed before it marked the lines.
    server.clickhouse("TRUNCATE TABLE reject_replays").await;
    let again = replay(&server, &receipt, "wait=visible&code=not_a_decimal", Some(body)).await.ok();
    assert_eq!((number(&again, "replayed"), number(&again, "duplicate"), number(&again, "new")), (2, 2, 0));
    assert_eq!(
        server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await,
        "22\t22"
    );
    replay(&server, &receipt, "", Some(csv(0..1))).await.problem(422, "missing_columns");
    replay(&server, &receipt, "x=1", None).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_checked_without_producing_anything() {
    let server = Server::start(&[]).await;
    let text = bad_file()
        .replace(HEADER, &HEADER.to_uppercase().replace("PROVIDER", "Provider "))
        .replacen("\n", ",Extra\n", 1);
    let text = text
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 0 { format!("{line}\n") } else { format!("{line},\n") });
    let answer = server.upload(text.collect::<String>(), "validate_only=true&name=v.csv").await.ok();
    assert_eq!(
        (super::text(&answer, "state"), number(&answer, "rows"), number(&answer, "rejected")),
        ("validated", 23, 3)
    );
    assert_eq!(answer["rejects_by_code"], json!({ "not_a_decimal": 2, "unclosed_quote": 1 }));
    assert_eq!(answer["rejects"].as_array().unwrap().len(), 3);
    assert_eq!((&answer["encoding"], &answer["delimiter"]), (&json!("UTF-8"), &json!(",")));
    assert_eq!(answer["columns"]["provider"], json!({ "name": "Provider ", "position": 10 }));
    assert_eq!(answer["ignored_columns"], json!(["extra"]));
    assert!(answer["upload_id"].is_null() && answer["links"].is_null(), "{answer:#}");
    assert_eq!(server.get("/uploads").await.ok()["items"], json!([]));
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "0");
    assert_eq!(server.clickhouse("SELECT count() FROM loader_chunks").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replay_command_reports_by_its_exit_code_whether_rejects_are_left() {
    let server = Server::start(&["--api-key", "a-key-of-some-length"]).await;
    let with_key = |request: reqwest::RequestBuilder| request.bearer_auth("a-key-of-some-length");
    let url = server.url("/uploadcsv?wait=visible");
    let receipt = server.send(|http| with_key(http.post(url).body(bad_file()))).await.ok();
    let url = server.url(&format!("{}?code=not_a_decimal", text(&receipt["links"], "rejects")));
    let csv = server.send(|http| with_key(http.get(url))).await.body.as_str().unwrap().to_owned();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("corrected.csv");
    std::fs::write(&file, csv.replace(",12.5x,0", ",12.5,0").replace(",x,0", ",1,0")).unwrap();

    let upload = text(&receipt, "upload_id");
    let replay = |arguments: &[&str]| run(client("dlq replay", &server.addresses.api, "", arguments));
    let key = ["--api-key", "a-key-of-some-length"];
    let Said { code, stderr, .. } = replay(&["--upload", upload]).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("API key"), "{stderr}");
    let path = file.to_str().unwrap();
    let Said { code, stdout: out, stderr } =
        replay(&[&["--upload", upload, "--file", path, "--json"], &key[..]].concat()).await;
    assert_eq!(code, Some(0), "{stderr}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((number(&answer, "replayed"), number(&answer, "still_rejected")), (2, 0), "{answer:#}");
    let Said { code, stdout: out, .. } = replay(&[&["--upload", upload], &key[..]].concat()).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("0 rows sent again") && out.contains("unclosed_quote"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_corrected_rows_may_have_another_encoding() {
    let server = Server::start(&[]).await;
    let receipt = server.upload(bad_file(), "wait=visible").await.ok();
    let list = download(&server, &receipt, "code=not_a_decimal").await;
    // As a program for Windows saves it.
    let corrected = list.replace(",12.5x,0", ",12.5,0").replace(" 日本", "");
    let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(&corrected);
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("corrected.csv");
    std::fs::write(&file, &bytes).unwrap();
    let (upload, path) = (text(&receipt, "upload_id"), file.to_str().unwrap());
    let replay = |arguments: &[&str]| {
        run(client("dlq replay", &server.addresses.api, "", &[&["--upload", upload], arguments].concat()))
    };
    let said = replay(&["--file", path]).await;
    assert!(said.code == Some(1) && said.stdout.contains("(not_decodable)"), "{said:?}");
    let said = replay(&["--file", path, "--encoding", "windows-1252"]).await;
    assert!(said.stdout.contains("\n  1 accepted: 1 new, 0 already stored"), "{said:?}");
    let stored = server.clickhouse("SELECT game_name FROM game_rounds WHERE game_instance_id = 10").await;
    assert_eq!(stored, "Café");
    // Without a file there is nothing to decode.
    let said = replay(&["--encoding", "windows-1252"]).await;
    assert!(
        said.code == Some(2) && said.stderr.contains("; add --file, or leave --encoding out"),
        "{said:?}"
    );
    let asked = self::replay(&server, &receipt, "encoding=windows-1252", None).await;
    let problem = asked.problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "encoding", "{problem:#}");
}
