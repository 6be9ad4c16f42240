//! The requests of pages, and of clients that are not browsers, distinguished by their headers.

use reqwest::header::HOST;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::files::csv;
use crate::harness::server::{Answer, Server};

const KEY: &str = "a-key-for-the-tests-only";

/// Sets of headers. Each shows that a page of another origin sends the request.
const FOREIGN: [&[(&str, &str)]; 6] = [
    &[("origin", "http://evil.example")],
    &[("origin", "null")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:1")],
    &[("referer", "http://evil.example/page")],
    &[("user-agent", "Mozilla/5.0 (X11; rv:60.0) Gecko/20100101 Firefox/60.0"), ("accept-language", "en-US")],
];

fn with(headers: &[(&str, &str)], request: RequestBuilder) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

fn form(ids: std::ops::Range<u64>) -> Form {
    Form::new().part("file", Part::text(csv(ids)).file_name("rounds.csv"))
}

/// Requests a path of the API with another host name.
async fn under_name(server: &Server, url: &str, name: &str) -> Answer {
    server.send(|http| http.get(url).header(HOST, name)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_answers_only_under_its_own_names() {
    let server =
        Server::start(&["--allowed-host", "rounds.example", "--allowed-host", "other.example:8443"]).await;
    server.upload(csv(0..5), "name=known-to-us-only&wait=visible").await.ok();
    let addresses = &server.addresses;
    let uploads = server.url("/uploads");
    let subjects = format!("{}/subjects", addresses.schema_registry_url);
    let databases = format!("{}/?query=SHOW+DATABASES", addresses.clickhouse_url);
    for name in ["evil.example", "evil.example:8000", "localhost.evil.example", "other.example"] {
        let problem = under_name(&server, &uploads, name).await.problem(421, "wrong_host");
        assert_eq!(problem["host"], name);
        let refused = under_name(&server, &subjects, name).await;
        assert_eq!((refused.status, &refused.body["error_code"]), (421, &json!(421)), "{:#}", refused.body);
        let refused = under_name(&server, &databases, name).await;
        assert_eq!(
            (refused.status, &refused.headers["x-clickhouse-exception-code"]),
            (421, &"497".parse().unwrap())
        );
        // A refused client does not learn the names of the machine and the engine either.
        assert!(!refused.headers.contains_key("x-clickhouse-server-display-name"));
        assert!(!refused.body.to_string().contains("version"), "{:#}", refused.body);
        // Health checks are not exempt: whoever needs another name can allow it.
        under_name(&server, &server.url("/healthz"), name).await.problem(421, "wrong_host");
        let upload =
            server.send(|http| http.post(server.url("/uploadcsv")).header(HOST, name).body(csv(5..9)));
        upload.await.problem(421, "wrong_host");
    }
    for name in [
        "localhost",
        "rounds.example",
        "ROUNDS.example:8000",
        "other.example:8443",
        "[::1]:8000",
        "127.0.0.1",
    ] {
        for url in [&uploads, &subjects, &databases] {
            assert_eq!(under_name(&server, url, name).await.status, 200, "{url} as {name}");
        }
    }
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "5");

    // No host at all: an error in HTTP/1.1, but common for health checks in HTTP/1.0.
    for (version, status) in [("1.1", "400 Bad Request"), ("1.0", "200 OK")] {
        let mut connection = server.connect().await;
        let request = format!("GET /healthz HTTP/{version}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(status), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_change_anything_without_a_key() {
    let server = Server::start(&[]).await;
    let subject = format!("{}/subjects/foreign/versions", server.addresses.schema_registry_url);
    let clickhouse = &server.addresses.clickhouse_url;
    for headers in FOREIGN {
        let refused = async |method: Method, path: &str| {
            let request = |http: &reqwest::Client| with(headers, http.request(method, server.url(path)));
            server.send(|http| request(http).multipart(form(0..9))).await.problem(403, "cross_origin");
        };
        refused(Method::POST, "/uploadcsv").await;
        refused(Method::POST, "/reconcile").await;
        refused(Method::POST, "/reconcile/x/repair?prefer=file&remove=unexpected").await;
        refused(Method::DELETE, "/reconcile/x").await;
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let request = |http: &reqwest::Client| with(headers, http.post(server.url("/uploadcsv")));
            let upload = server.send(|http| request(http).header("content-type", kind).body(csv(0..9)));
            upload.await.problem(403, "cross_origin");
        }
        // The page may follow a link to the server, but cannot see the answer.
        let link = server.send(|http| with(headers, http.get(server.url("/uploads")))).await;
        assert!(link.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
        link.ok();
        let schema =
            server.send(|http| with(headers, http.post(&subject)).json(&json!({ "schema": "\"long\"" })));
        let refused = schema.await;
        assert_eq!((refused.status, &refused.body["error_code"]), (403, &json!(403)), "{:#}", refused.body);
        let create = "CREATE TABLE game_data.foreign_page (x UInt8) ENGINE = Memory";
        let refused = server.send(|http| with(headers, http.post(clickhouse)).body(create)).await;
        assert_eq!(refused.status, 403, "{:#}", refused.body);
    }
    // An image request to ClickHouse is refused as well, if the browser sends headers that show its origin.
    for headers in [FOREIGN[0], FOREIGN[2], FOREIGN[3], FOREIGN[4]] {
        let image =
            server.send(|http| with(headers, http.get(format!("{clickhouse}/?query=SELECT+1")))).await;
        assert_eq!(image.status, 403, "{headers:?}: {:#}", image.body);
    }
    assert_eq!(server.get("/uploads").await.ok()["items"], json!([]));
    assert_eq!(server.get("/reconcile").await.ok()["items"], json!([]));
    assert_eq!(server.clickhouse("EXISTS TABLE game_data.foreign_page").await, "0");
    let subjects = format!("{}/subjects", server.addresses.schema_registry_url);
    assert_eq!(server.send(|http| http.get(subjects)).await.ok(), json!(["staging-bets-value"]));

    // Requests that are not from other pages: a form of curl, and one of a page of this server.
    server.upload_form(form(0..3), "").await.ok();
    let own = server.addresses.api.as_str();
    let request = |http: &reqwest::Client| http.post(server.url("/uploadcsv")).header("origin", own);
    server
        .send(|http| request(http).header("sec-fetch-site", "same-origin").multipart(form(3..6)))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_with_a_key_may_change_what_the_key_allows() {
    let server = Server::start(&["--api-key", KEY]).await;
    for headers in FOREIGN {
        let upload =
            |http: &reqwest::Client| with(headers, http.post(server.url("/uploadcsv"))).body(csv(0..3));
        server.send(|http| upload(http).bearer_auth(KEY)).await.ok();
        server.send(|http| upload(http).header("x-api-key", KEY)).await.ok();
        server
            .send(|http| upload(http).bearer_auth("a-key-of-somebody-else"))
            .await
            .problem(403, "cross_origin");
    }
    server.upload(csv(0..3), "").await.problem(401, "unauthorized");
}
