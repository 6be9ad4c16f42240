//! `POST /uploadcsv`: every way to send a file, and every reason to refuse one.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::dead_letters;
use crate::harness::files::{HEADER, csv, line, lines};
use crate::harness::process::{PATIENCE, signal, until};
use crate::harness::server::{Http, Server};

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn file_part(text: String, name: &str) -> Part {
    Part::bytes(text.into_bytes()).file_name(name.to_owned()).mime_str("text/csv").unwrap()
}

/// Returns the number of rounds, of different rounds, and the sum of their bets.
async fn stored(server: &Server) -> String {
    let sql = "SELECT count(), uniqExact(game_instance_id), toString(sum(real_amount_bet)) FROM game_rounds";
    server.clickhouse(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_accepted_in_any_encoding_and_compression_and_as_a_form() {
    let server = Server::start(&[]).await;
    let marked = |ids| format!("\u{feff}{}", csv(ids));
    let bodies: [(&str, Vec<u8>); 6] = [
        ("UTF-16LE", utf_16(&marked(0..100), u16::to_le_bytes)),
        ("UTF-16BE", utf_16(&marked(100..200), u16::to_be_bytes)),
        ("UTF-16LE", utf_16(&csv(200..300), u16::to_le_bytes)),
        ("UTF-16BE", utf_16(&csv(300..400), u16::to_be_bytes)),
        ("UTF-8", marked(400..500).into_bytes()),
        ("UTF-8", csv(500..600).into_bytes()),
    ];
    for (encoding, body) in bodies {
        let bytes = body.len();
        let receipt = server.upload(body, "").await.ok();
        assert_eq!(receipt["encoding"], encoding);
        assert_eq!((&receipt["rows"], &receipt["accepted"]), (&json!(100), &json!(100)), "{receipt:#}");
        assert_eq!((&receipt["bytes"], &receipt["state"]), (&json!(bytes), &json!("acknowledged")));
    }
    let compressed =
        [("gzip", gzip(&csv(600..700))), ("zstd", zstd::encode_all(csv(700..800).as_bytes(), 0).unwrap())];
    for (encoding, body) in compressed {
        let url = server.url("/uploadcsv");
        let request =
            server.send(|http| http.post(url).header("Content-Encoding", encoding).body(body)).await;
        assert_eq!(request.ok()["accepted"], 100, "{encoding}");
    }

    let form = Form::new().text("comment", "two files").part("file", file_part(csv(800..900), "a.csv"));
    let form = form.part("file", file_part(csv(900..1000), "b.csv"));
    let answer = server.upload_form(form, "").await.ok();
    let names: Vec<&Value> =
        answer["uploads"].as_array().unwrap().iter().map(|file| &file["file_name"]).collect();
    assert_eq!(names, ["a.csv", "b.csv"]);
    let form = Form::new().part("file", file_part(csv(1000..1100), "c.csv"));
    let path = server.url("/uploadcsv/?wait=visible");
    let receipt = server.send(|http| http.post(path).multipart(form)).await.ok();
    assert_eq!((&receipt["file_name"], &receipt["state"]), (&json!("c.csv"), &json!("visible")));

    // Semicolons, another case and order of the names, and an unknown column.
    let text = format!(
        "{};Extra\n{}",
        HEADER.replace(',', ";").to_uppercase(),
        line(1100, "0.25").replace(',', ";")
    );
    let receipt = server.upload(text.trim_end().to_owned() + ";x\n", "wait=visible").await.ok();
    assert_eq!(
        (&receipt["accepted"], &receipt["ignored_columns"]),
        (&json!(1), &json!(["extra"])),
        "{receipt:#}"
    );
    assert_eq!(stored(&server).await, "1101\t1101\t275.25");
    let names = "SELECT DISTINCT game_name, provider, created_timestamp FROM game_rounds FORMAT CSV";
    assert_eq!(server.clickhouse(names).await, r#""Café 日本","Play'n GO","2020-02-03 04:05:06.000""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_rows_go_to_the_dead_letter_topic_and_the_others_are_counted() {
    let server = Server::start(&[]).await;
    let bad: Vec<String> = (0..25)
        .map(|id| line(id, if id % 2 == 0 { "12,5x" } else { "12.5x" }).trim_end().to_owned())
        .collect();
    let text = format!("{HEADER}\n{}{}\n{}", lines(100..110), bad.join("\n"), lines(110..120));
    let receipt = server.upload(text, "wait=visible&name=bad.csv").await.ok();
    let sums = ["rows", "accepted", "rejected"].map(|member| receipt[member].as_u64().unwrap());
    assert_eq!(sums, [45, 20, 25], "{receipt:#}");
    assert_eq!(receipt["rejects"].as_array().unwrap().len(), 20);
    let reason = &receipt["rejects"][0]["reason"];
    let fault = json!({ "column": "", "code": "wrong_number_of_fields", "value": bad[0], "reason": reason });
    let mut first = fault.clone();
    first["line"] = json!(12);
    first["byte_offset"] = receipt["rejects"][0]["byte_offset"].clone();
    first["faults"] = json!([fault]);
    assert_eq!(receipt["rejects"][0], first);
    assert_eq!(receipt["rejects"][1]["column"], "real_amount_bet");
    assert_eq!(
        (&receipt["rejects"][1]["code"], &receipt["rejects"][1]["value"]),
        (&json!("not_a_decimal"), &json!("12.5x"))
    );

    let letters = dead_letters::read(&server, bad.len()).await;
    let upload_id = receipt["upload_id"].as_str().unwrap();
    for (line, letter) in &letters {
        assert_eq!(letter.raw, bad[*line as usize - 12]);
        assert_eq!(letter.headers["upload_id"], upload_id);
        assert!(!letter.headers["reason"].is_empty());
    }
    assert_eq!(letters.keys().next(), Some(&12));
    assert_eq!(
        (letters[&12].headers["code"].as_str(), letters[&12].headers["column"].as_str()),
        ("wrong_number_of_fields", "")
    );
    assert_eq!(
        (letters[&13].headers["code"].as_str(), letters[&13].headers["column"].as_str()),
        ("not_a_decimal", "real_amount_bet")
    );

    let sql =
        format!("SELECT line, column, code, raw FROM rejects WHERE upload_id = '{upload_id}' ORDER BY line");
    let rows = until("the rejects are in their table", async || {
        let rows = server.clickhouse(sql.as_str()).await;
        (rows.lines().count() == bad.len()).then_some(rows)
    })
    .await;
    let expected: Vec<String> = letters
        .iter()
        .map(|(line, letter)| {
            let raw = letter.raw.replace('\'', "\\'");
            format!("{line}\t{}\t{}\t{raw}", letter.headers["column"], letter.headers["code"])
        })
        .collect();
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_csv_is_refused_before_any_row_is_sent() {
    let server = Server::start(&[]).await;
    let without = csv(0..10).replacen("real_amount_win,", "", 1);
    let problem = server.upload(without, "").await.problem(422, "missing_columns");
    assert_eq!(
        (&problem["missing"], &problem["rows"]),
        (&json!(["real_amount_win"]), &json!(0)),
        "{problem:#}"
    );
    server.upload("", "").await.problem(422, "empty_file");
    server.upload("\u{feff}", "").await.problem(422, "empty_file");
    server.upload("nothing of ours\n", "").await.problem(400, "not_csv");
    let twice = csv(0..1).replacen("provider", "user_id", 1);
    server.upload(twice, "").await.problem(422, "duplicate_column");
    let workbook = [b"PK\x03\x04\x14\x00\x06\x00".as_slice(), &[7; 5000]].concat();
    let problem = server.upload(workbook, "").await.problem(415, "not_text");
    assert!(problem["detail"].as_str().unwrap().contains("xlsx"), "{problem:#}");
    let url = server.url("/uploadcsv");
    let brotli = server.send(|http| http.post(&url).header("Content-Encoding", "br").body(csv(0..1))).await;
    brotli.problem(415, "unsupported_content_encoding");
    let cut = gzip(&csv(0..1000))[..2000].to_vec();
    let cut = server.send(|http| http.post(&url).header("Content-Encoding", "gzip").body(cut)).await;
    cut.problem(400, "broken_off");
    server.upload_form(Form::new().text("comment", "no file"), "").await.problem(400, "no_file");
    for (query, parameter) in [
        ("wait=now", "wait"),
        ("on_error=x", "on_error"),
        ("encoding=x", "encoding"),
        ("force=2", "force"),
        ("x=y", "x"),
    ] {
        let problem = server.upload(csv(0..1), query).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter);
    }
    assert_eq!(stored(&server).await, "0\t0\t\\N");

    let text = format!("{HEADER}\n{}{}{}", lines(0..5), line(5, "x"), lines(6..9));
    let problem = server.upload(text.clone(), "on_error=abort").await.problem(422, "row_rejected");
    let shown =
        ["line", "column", "reject_code", "accepted", "rejected"].map(|member| problem[member].clone());
    assert_eq!(shown, [json!(7), json!("real_amount_bet"), json!("not_a_decimal"), json!(5), json!(1)]);
    let receipt = server.upload(text, "wait=visible").await.ok();
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&json!(8), &json!(1)), "{receipt:#}");
    assert_eq!(stored(&server).await, "8\t8\t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_reported_and_the_file_can_be_sent_again() {
    let server = Server::start(&[]).await;
    let text = csv(0..20_000);
    // After two of the five digits of an id: the shortened id would be that of another round.
    let half = text.find(",12345,").unwrap() + 3;
    let answer = send_part(&server, &text, half).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains(r#""code":"broken_off""#), "{answer}");
    // Rows were read while it arrived, and some of them are in the topic.
    let problem: Value = serde_json::from_str(&answer[answer.find("\r\n\r\n").unwrap()..]).unwrap();
    assert_eq!(problem["bytes"], half, "{problem:#}");
    assert!(problem["accepted"].as_u64().unwrap() > 1000, "{problem:#}");

    let receipt = server.upload(text, "wait=visible").await.ok();
    assert_eq!((&receipt["state"], &receipt["accepted"]), (&json!("visible"), &json!(20_000)), "{receipt:#}");
    assert_eq!(stored(&server).await, "20000\t20000\t5000");
}

/// Announces a whole file and sends only a part of it. Returns the response.
async fn send_part(server: &Server, text: &str, bytes: usize) -> String {
    let mut stream = server.open_upload(text.len()).await;
    stream.write_all(&text.as_bytes()[..bytes]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_a_limit_is_refused_and_nothing_below_it() {
    // No upload gives way to others.
    let server = Server::start(&[
        "--max-upload-bytes",
        "200000",
        "--max-concurrent-uploads",
        "1",
        "--upload-crowded-bytes-per-second",
        "0",
    ])
    .await;
    let problem = server.upload(csv(0..5000), "").await.problem(413, "file_too_large");
    assert_eq!(problem["limit_bytes"], 200_000);
    // A file whose Content-Length is too large is refused before it is sent.
    let mut announced = server.open_upload(99_999_999_999_999).await;
    let mut answer = String::new();
    announced.shutdown().await.unwrap();
    tokio::time::timeout(PATIENCE, announced.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("file_too_large"), "{answer}");
    // Small when sent, large when decompressed.
    let bomb = gzip(&format!("{HEADER}\n{}", line(1, "0.25").repeat(500_000)));
    let url = server.url("/uploadcsv");
    let answer = server.send(|http| http.post(&url).header("Content-Encoding", "gzip").body(bomb)).await;
    answer.problem(413, "file_too_large");

    let text = csv(100..1100);
    let mut held = server.open_upload(text.len() + 1).await;
    held.write_all(text.as_bytes()).await.unwrap();
    server.until_under_way(1).await;
    let answer = server.upload(csv(0..10), "force=true").await;
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(answer.problem(429, "too_many_uploads")["limit"], 1);
    server.get("/aggregates").await.ok();
    drop(held);
    let receipt = until("the place is free again", async || {
        let answer = server.upload(csv(0..10), "force=true&wait=visible").await;
        (answer.status == 200).then(|| answer.ok())
    })
    .await;
    assert_eq!(receipt["accepted"], 10);
    let ids = server.clickhouse("SELECT count() FROM game_rounds WHERE game_instance_id < 10").await;
    assert_eq!(ids, "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_finishes_a_running_upload_and_accepts_no_other() {
    let mut server = Server::start(&["--stop-grace-seconds", "100"]).await;
    let text = csv(0..20_000);
    let (first, rest) = text.as_bytes().split_at(text.len() / 2);
    let mut ending = server.open_upload(text.len()).await;
    ending.write_all(first).await.unwrap();
    server.until_under_way(1).await;
    signal(server.pid(), "TERM");
    // On new connections: the idle ones are closed.
    let get = async |path: &str| Http::new().try_send(|http| http.get(server.url(path))).await.ok();
    until("others are refused", async || get("/uploads").await.filter(|answer| answer.status == 503)).await;
    for path in ["/uploads", "/readyz"] {
        get(path).await.unwrap().problem(503, "stopping");
    }
    get("/healthz").await.unwrap().ok();
    for path in ["/uploadcsv", "/reconcile"] {
        let url = server.url(path);
        let answer = Http::new().try_send(|http| http.post(url).body(csv(0..10))).await.unwrap();
        assert_eq!(answer.headers["retry-after"], "5");
        answer.problem(503, "stopping");
    }
    ending.write_all(rest).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, ending.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""accepted":20000"#), "{answer}");
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Sends a part of a file, and then row after row until the connection fails. Returns the response.
async fn keep_sending(server: &Server, path: &str, first: u64) -> tokio::task::JoinHandle<(u16, Value)> {
    let connection = server.connect().await;
    let (mut reader, mut writer) = connection.into_split();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n");
    let text = csv(first..first + 10_000);
    writer.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
    tokio::spawn(async move {
        let mut next = first + 10_000;
        while writer.write_all(lines(next..next + 1).as_bytes()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            next += 1;
        }
    });
    tokio::spawn(async move {
        let mut answer = Vec::new();
        while reader.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_stopping_server_breaks_off_reports_how_far_it_got() {
    let mut server = Server::start(&["--stop-grace-seconds", "1"]).await;
    let upload = keep_sending(&server, "/uploadcsv", 0).await;
    let reconciled = keep_sending(&server, "/reconcile", 100_000).await;
    let text = csv(200_000..220_000);
    let mut silent = server.open_upload(text.len()).await;
    silent.write_all(&text.as_bytes()[..text.len() / 2]).await.unwrap();
    server.until_under_way(2).await;
    assert_eq!(server.stop().await.code(), Some(0));

    let (status, problem) = upload.await.unwrap();
    assert_eq!((status, problem["code"].as_str()), (503, Some("stopping")), "{problem:#}");
    assert!(problem["rows"].as_u64() >= Some(10_000), "{problem:#}");
    assert_eq!(problem["acknowledged"], problem["accepted"], "{problem:#}");
    let (status, of_job) = reconciled.await.unwrap();
    assert_eq!((status, of_job["code"].as_str()), (503, Some("stopping")), "{of_job:#}");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, silent.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains(r#""code":"stopping""#), "{answer}");

    // The acknowledged rows are in the ledger, and the file can be sent again.
    server.restart().await;
    let kept = server.get(problem["links"]["self"].as_str().unwrap()).await.ok();
    assert_eq!(
        (&kept["state"], &kept["failure"]["code"]),
        (&json!("failed"), &json!("stopping")),
        "{kept:#}"
    );
    assert_eq!(kept["acknowledged"], problem["acknowledged"]);
    let receipt = server.upload(text, "wait=visible").await.ok();
    assert_eq!((&receipt["state"], &receipt["accepted"]), (&json!("visible"), &json!(20_000)));
    let stored = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    let rounds = 20_000 + problem["acknowledged"].as_u64().unwrap();
    assert_eq!(stored, format!("{rounds}\t{rounds}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_visible_rows_gets_the_receipt_when_the_server_stops() {
    let mut server = Server::start(&["--loader", "none"]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let waiting = http.post(server.url("/uploadcsv?wait=visible")).body(csv(0..10)).send();
    let waiting = tokio::spawn(waiting);
    until("the rows are acknowledged", async || {
        (server.metric("roundhouse_acknowledged_rows_total").await == 10.0).then_some(())
    })
    .await;
    assert!(server.stop().await.success());
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let receipt: Value = answer.json().await.unwrap();
    assert_eq!(
        (&receipt["state"], &receipt["accepted"]),
        (&json!("acknowledged"), &json!(10)),
        "{receipt:#}"
    );
}
