//! Forms as clients really send them, and bodies that are forms under another name.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use super::text;
use crate::harness::files::{HEADER, csv, line};
use crate::harness::server::{Answer, Server};

const FORM: &str = "multipart/form-data; boundary=limit";

/// Writes a part with these parameters of its `Content-Disposition`.
fn part(parameters: &[u8], text: &str) -> Vec<u8> {
    let head = b"--limit\r\nContent-Disposition: form-data; ";
    [head, parameters, b"\r\nContent-Type: text/csv\r\n\r\n", text.as_bytes(), b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--limit--\r\n"].concat()
}

async fn post(server: &Server, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let typed = |request: reqwest::RequestBuilder| match content_type {
        Some(content_type) => request.header(CONTENT_TYPE, content_type),
        None => request,
    };
    server.send(|http| typed(http.post(server.url(path))).body(body)).await
}

async fn send(server: &Server, query: &str, parts: &[Vec<u8>]) -> Answer {
    post(server, &format!("/uploadcsv?{query}"), Some(FORM), form(parts)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_accepted_however_its_client_names_the_file() {
    let server = Server::start(&[]).await;
    let cases: [(&[u8], &str); 5] = [
        (b"name=\"file\"", "given.csv"),
        (b"name=\"upload\"; filename*=UTF-8''%D0%BE%D1%82%D1%87%D1%91%D1%82.csv", "отчёт.csv"),
        (b"name=\"file\"; filename=\"\xee\xf2\xf7\xb8\xf2.csv\"", "%EE%F2%F7%B8%F2.csv"),
        (b"name=\"file\"; filename=\"\"", "given.csv"),
        (b"name=\"file\"; filename=\"own.csv\"", "own.csv"),
    ];
    for (first, (parameters, name)) in (0..).step_by(10).zip(cases) {
        let receipt = send(&server, "name=given.csv", &[part(parameters, &csv(first..first + 3))]).await.ok();
        assert_eq!((text(&receipt, "file_name"), &receipt["accepted"]), (name, &json!(3)), "{receipt:#}");
        let reconcile = form(&[part(parameters, &csv(first..first + 3))]);
        let job = post(&server, "/reconcile?name=given.csv", Some(FORM), reconcile).await;
        assert_eq!((job.status, text(&job.body, "file_name")), (202, name), "{:#}", job.body);
    }

    // A form with two file inputs, of which the first was left empty.
    let parts =
        [part(b"name=file; filename=\"\"", ""), part(b"name=file; filename=\"b.csv\"", &csv(100..103))];
    let receipt = send(&server, "", &parts).await.ok();
    assert_eq!((text(&receipt, "file_name"), &receipt["accepted"]), ("b.csv", &json!(3)), "{receipt:#}");

    // An encoding that changes nothing is not compression.
    let body = form(&[part(b"name=file", &csv(110..112))]);
    let request = |http: &reqwest::Client| {
        http.post(server.url("/uploadcsv"))
            .header(CONTENT_TYPE, FORM)
            .header(CONTENT_ENCODING, "identity")
            .body(body)
    };
    assert_eq!(server.send(request).await.ok()["accepted"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_a_file_says_why() {
    let server = Server::start(&[]).await;
    let empty = part(b"name=file; filename=\"\"", "");
    let comment = part(b"name=\"upload\"", &csv(0..3));
    for path in ["/uploadcsv", "/reconcile"] {
        for (parts, cause) in [
            (vec![empty.clone()], "no file was chosen"),
            (vec![empty.clone(), empty.clone(), comment.clone()], "no file was chosen"),
            (vec![comment.clone()], "part \"upload\" has no file name; name the part \"file\""),
            (vec![], "the form has no parts"),
        ] {
            let problem = post(&server, path, Some(FORM), form(&parts)).await.problem(400, "no_file");
            assert!(text(&problem, "detail").contains(cause), "{problem:#}");
        }
    }
    // A file that was chosen and is empty is another case.
    send(&server, "", &[part(b"name=file; filename=a.csv", "")]).await.problem(422, "empty_file");
    assert_eq!(server.get("/uploads").await.ok()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_replay_may_be_left_out_of_its_form() {
    let server = Server::start(&[]).await;
    let upload = server.upload(format!("{HEADER}\n{}", line(1, "x")), "").await.ok();
    let path = format!("/uploads/{}/replay", text(&upload, "upload_id"));
    let empty = form(&[part(b"name=file; filename=\"\"", "")]);
    let replayed = post(&server, &path, Some(FORM), empty).await.ok();
    assert_eq!(replayed["still_rejected"], 1, "{replayed:#}");
    // A part without a file name is more likely a mistake than a wish to replay everything.
    let other = form(&[part(b"name=corrected", &csv(1..2))]);
    post(&server, &path, Some(FORM), other).await.problem(400, "no_file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_under_another_content_type_is_recognized() {
    let server = Server::start(&[]).await;
    let upload = server.upload(format!("{HEADER}\n{}", line(1, "x")), "").await.ok();
    let replay = format!("/uploads/{}/replay", text(&upload, "upload_id"));
    let body = form(&[part(b"name=file; filename=\"a.csv\"", &csv(0..3))]);
    let detail = |problem: &Value| text(problem, "detail").to_owned();
    for path in ["/uploadcsv", "/reconcile", &replay] {
        for (content_type, sent) in [
            (Some("text/csv"), "as text/csv"),
            (Some("application/x-www-form-urlencoded"), "as application/x-www-form-urlencoded"),
            (Some("multipart/mixed; boundary=limit"), "as multipart/mixed"),
            (None, "without a Content-Type"),
        ] {
            let problem = post(&server, path, content_type, body.clone()).await.problem(400, "bad_form");
            let detail = detail(&problem);
            assert!(detail.contains(sent) && detail.contains("do not set Content-Type yourself"), "{detail}");
        }
        let problem = post(&server, path, Some("multipart/form-data"), body.clone()).await;
        let detail = detail(&problem.problem(400, "bad_form"));
        assert!(detail.contains("no boundary; do not set this header yourself"), "{detail}");
    }
    // What `curl -d @rounds.csv` makes of a file.
    let joined = csv(0..3).replace('\n', "").into_bytes();
    let problem = post(&server, "/uploadcsv", Some("application/x-www-form-urlencoded"), joined).await;
    assert!(
        problem.body["detail"].as_str().unwrap_or_default().contains("curl -d removes line breaks"),
        "{:#}",
        problem.body
    );
}
