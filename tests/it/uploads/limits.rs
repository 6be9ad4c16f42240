//! Each limit, reached exactly and exceeded by one.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Sending, number, text};
use crate::harness::files::{HEADER, csv, line, lines};
use crate::harness::process::PATIENCE;
use crate::harness::server::Server;

/// A file with valid rows followed by invalid ones.
fn file(good: u64, bad: u64) -> String {
    let bad: String = (0..bad).map(|id| line(1_000_000 + id, "x")).collect();
    format!("{HEADER}\n{}{bad}", lines(0..good))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_too_many_rejects_is_stopped_and_the_sent_rows_are_reported() {
    let server = Server::start(&["--max-upload-rejects", "30"]).await;
    let taken = server.upload(file(100, 5), "max_rejects=5").await.ok();
    assert_eq!(number(&taken, "rejected"), 5);
    let problem = server.upload(file(101, 6), "max_rejects=5").await.problem(422, "too_many_rejects");
    assert_eq!(
        ["rows", "accepted", "rejected", "acknowledged"].map(|member| number(&problem, member)),
        [107, 101, 6, 101],
        "{problem:#}"
    );
    assert_eq!(
        (&problem["limit"], &problem["rejects_by_code"]),
        (&json!("5"), &json!({ "not_a_decimal": 6 }))
    );
    assert_eq!(problem["rejects"].as_array().unwrap().len(), 6);
    let failed = server.get(text(&problem["links"], "self")).await.ok();
    assert_eq!(
        (&failed["state"], &failed["failure"]["code"]),
        (&json!("failed"), &json!("too_many_rejects"))
    );
    assert_eq!(failed["acknowledged"], 101);

    server.upload(file(90, 10), "max_rejects=10%25").await.ok();
    server.upload(file(89, 10), "max_rejects=10%25").await.problem(422, "too_many_rejects");
    // The server's own limit applies to every request.
    server.upload(file(1, 30), "max_rejects=100").await.ok();
    server.upload(file(2, 31), "max_rejects=100").await.problem(422, "too_many_rejects");
    let aborted = server.upload(file(7, 3), "on_error=abort").await.problem(422, "row_rejected");
    assert_eq!((&aborted["line"], &aborted["acknowledged"]), (&json!(9), &json!(7)), "{aborted:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_files_are_limited() {
    let server = Server::start(&["--max-upload-rows", "100", "--max-form-files", "2"]).await;
    server.upload(file(98, 2), "").await.ok();
    let problem = server.upload(file(99, 2), "").await.problem(413, "too_many_rows");
    assert_eq!((&problem["limit"], &problem["rows"]), (&json!(100), &json!(100)), "{problem:#}");
    server.upload(csv(0..101), "validate_only=true").await.problem(413, "too_many_rows");

    let part = |ids, name: &'static str| Part::bytes(csv(ids).into_bytes()).file_name(name);
    let form = Form::new().part("file", part(0..3, "a.csv")).part("file", part(3..6, "b.csv"));
    let form = form.part("file", part(6..9, "c.csv"));
    let problem = server.upload_form(form, "").await.problem(413, "too_many_files");
    assert_eq!(
        (&problem["limit"], problem["uploads"].as_array().unwrap().len()),
        (&json!(2), 2),
        "{problem:#}"
    );
    let form = Form::new().part("file", part(0..4, "a.csv"));
    let form = form.part("file", Part::bytes(b"no header\n".to_vec()).file_name("b.csv"));
    let problem = server.upload_form(form, "").await.problem(400, "not_csv");
    assert_eq!(problem["file_name"], "b.csv");
    assert!(text(&problem, "detail").contains("b.csv"), "{problem:#}");
    assert_eq!(problem["uploads"][0]["file_name"], "a.csv");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_gets_an_error() {
    let server =
        Server::start(&["--upload-min-bytes-per-second", "1000", "--upload-grace-seconds", "1"]).await;
    let sending = Sending::start(&server, "");
    sending.send(&csv(0..2000));
    let answer = loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if sending.pieces.send(lines(0..1).into_bytes()).is_err() || sending.answer.is_finished() {
            break sending.finish().await;
        }
    };
    let problem = answer.problem(408, "too_slow");
    assert_eq!(problem["limit_bytes_per_second"], 1000);
    assert!(number(&problem, "rows") >= 2000, "{problem:#}");
    let failed = server.get(text(&problem["links"], "self")).await.ok();
    assert_eq!((&failed["state"], &failed["failure"]["code"]), (&json!("failed"), &json!("too_slow")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_or_a_file_that_pauses_too_long_is_given_up() {
    let server = Server::start(&["--upload-idle-seconds", "1"]).await;
    for (kind, begun, code) in [
        ("multipart/form-data; boundary=x", "", "bad_form"),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; na", "bad_form"),
        ("text/csv", "", "broken_off"),
        ("text/csv", HEADER, "broken_off"),
    ] {
        for path in ["/uploadcsv", "/reconcile"] {
            let mut connection = server.connect().await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 999\r\n\r\n{begun}"
            );
            connection.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tokio::time::timeout(PATIENCE, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {begun:?}: {answer}");
            assert!(answer.contains(&format!(r#""code":"{code}""#)), "{path} {begun:?}: {answer}");
        }
    }
}
