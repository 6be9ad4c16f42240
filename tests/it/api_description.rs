//! `/openapi.json` and `/docs`: the description is valid and matches the handlers, clients can use it, and the page loads nothing from
//! other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use roundhouse::http::endpoints::FIRST_WORDS;
use roundhouse::http::openapi::problems::CODES;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::endpoints::served;
use crate::harness::browser::Site;
use crate::harness::files::{HEADER, line, lines};
use crate::harness::process::until_within;
use crate::harness::server::Server;
use crate::harness::{installed, repository};

const KEY: &str = "a-key-for-the-tests-only";

/// An id that does not exist.
const NO_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// How long schemathesis may take. It has a time limit of its own.
const SCHEMATHESIS_PATIENCE: Duration = Duration::from_secs(930);

/// Errors of requests that do not reach an operation, or of all operations, or of files of datasets other than bets.
const OF_NO_OPERATION: [&str; 8] = [
    "not_json",
    "bad_request",
    "headers_too_large",
    "method_not_allowed",
    "cross_origin",
    "wrong_host",
    "overloaded",
    "timed_out",
];

/// An operation of the description.
struct Operation<'a> {
    path: &'a str,
    method: Method,
    says: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for (method, says) in methods.as_object().expect("methods") {
            let method = method.to_uppercase().parse().expect("a method");
            operations.push(Operation { path, method, says });
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_matches_the_handlers_and_needs_no_key() {
    let mut options = served::options();
    options.extend(["--api-key", KEY].map(str::to_owned));
    let server = Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(server.get("/uploads").await.status, 401);
    let document = server.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["api_key", "bearer"]);

    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let (path, method, says) = (operation.path, &operation.method, operation.says);
        for member in ["summary", "operationId"] {
            assert!(says[member].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}: {member}");
        }
        assert_eq!(says["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
        assert!(ids.insert(says["operationId"].as_str()), "{method} {path}: its id is another's");
        for (status, answer) in says["responses"].as_object().expect("responses") {
            for (kind, content) in answer["content"].as_object().into_iter().flatten() {
                let is_shown = content.get("example").or(content.get("examples")).is_some();
                assert!(
                    is_shown
                        || is_binary(kind)
                        || kind == "text/html"
                        || path == "/openapi.json"
                        || path.starts_with("/docs")
                        // Their answers are those of bets, which have examples.
                        || path.starts_with("/datasets/") && says["tags"][0] != "endpoints",
                    "{method} {path} {status} {kind}: no example"
                );
            }
        }
        assert_parameters(&server, &operation).await;
    }
    let first = |path: &str| path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    for operation in operations(&document).iter().filter(|one| one.says["tags"][0] != "endpoints") {
        let word = first(operation.path);
        assert!(
            word.is_empty() || FIRST_WORDS.contains(&word.as_str()),
            "{}: not in FIRST_WORDS",
            operation.path
        );
    }
    let codes: BTreeSet<&str> = operations(&document)
        .iter()
        .flat_map(|operation| operation.says["responses"].as_object().expect("responses").values())
        .flat_map(|answer| {
            answer["content"]["application/problem+json"]["examples"].as_object().into_iter().flatten()
        })
        .map(|(code, _)| code.as_str())
        .chain(OF_NO_OPERATION)
        .collect();
    let known: BTreeSet<&str> = CODES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, known, "codes without an operation, or codes that are not listed");
}

/// An example would not be readable.
fn is_binary(kind: &str) -> bool {
    kind.starts_with("application/vnd.apache.") || kind == "image/png"
}

/// Asserts that the described parameters of an operation are those that its handler accepts.
async fn assert_parameters(server: &Server, operation: &Operation<'_>) {
    let of_query =
        operation.says["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
    let described: BTreeSet<&str> = of_query.map(|one| one["name"].as_str().expect("a name")).collect();
    let path = operation.path.replace("{id}", NO_ID).replace("{file}", "start.js");
    let url = server.url(&format!("{path}?not_a_parameter=1"));
    let answer = server.send(|http| http.request(operation.method.clone(), url).bearer_auth(KEY)).await;
    let known = match answer.body["code"].as_str() {
        Some("invalid_parameter") => {
            answer.body["detail"].as_str().and_then(|detail| detail.split_once("use one of "))
        }
        _ => None,
    };
    let known: BTreeSet<&str> = known.map(|(_, names)| names.split(", ").collect()).unwrap_or_default();
    assert_eq!(described, known, "{} {}: {:#}", operation.method, operation.path, answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_from_other_hosts() {
    let server = Server::start(&["--api-key", KEY]).await;
    for path in ["/docs", "/docs/"] {
        let page = server.get(path).await;
        assert_eq!(
            (page.status, &page.headers["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap())
        );
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            !policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"),
            "{policy}"
        );
        let text = page.body.as_str().expect("HTML");
        let named: Vec<&str> = ["src=\"", "href=\""]
            .iter()
            .flat_map(|attribute| text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
            .collect();
        assert_eq!(named.len(), 6, "{named:?}");
        for path in named {
            assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
            let file = server.get(path).await;
            assert_eq!(file.status, 200, "{path}");
            assert!(file.headers.contains_key("content-type"), "{path}");
        }
    }
    server.get("/docs/../Cargo.toml").await.problem(404, "no_such_path");
    server.get("/docs/%2e%2e%2fCargo.toml").await.problem(404, "no_such_path");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_postman_collection_works_as_generated() {
    let server = Server::start(&[]).await;
    let text = format!("{HEADER}\n{}{}", lines(0..5), line(5, "12.5x"));
    let upload = server.upload(text, "wait=visible").await.ok();
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("rounds.csv");
    fs::write(&file, format!("{HEADER}\n{}", lines(3..9))).expect("write a file");
    let job = server.reconcile(&file).await;
    let ids = json!({ "/uploads": upload["upload_id"], "/reconcile": job["id"] });

    installed("node_modules/openapi-to-postmanv2");
    let output = Command::new("node")
        .arg(installed("postman.mjs"))
        .args([&server.addresses.api, file.to_str().expect("a path"), &ids.to_string()])
        .output()
        .expect("run node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_missing_when_a_request_has_no_file() {
    let server = Server::start(&[]).await;
    let site = Site::start(include_str!("api_description/page.html")).await;
    site.forward_to(&server.addresses.api);
    let shown = site.visit("localhost", &[]).await;
    for operation in ["uploads-upload_csv", "reconciliation-reconcile"] {
        let text = shown[operation].as_str().unwrap_or_else(|| panic!("{operation}: {shown:#}"));
        assert!(text.contains("the file is missing. Choose a file"), "{operation}: {text}");
    }
    assert_eq!(server.get("/uploads").await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_a_telephone_is_dark_where_the_browser_is_and_asks_for_no_key_that_the_server_does_not_have()
 {
    let site = Site::start(include_str!("api_description/look.html")).await;
    for (arguments, locks) in [(&[][..], 0), (&["--api-key", KEY], 26)] {
        let server = Server::start(arguments).await;
        site.forward_to(&server.addresses.api);
        let shown = site.visit("localhost", &[]).await;
        assert_eq!(shown["window"], 390, "{shown:#}");
        assert!(shown["width"].as_u64().expect("a width") <= 390, "{shown:#}");
        assert!(shown["filter"].as_str().expect("a filter").contains("invert"), "{shown:#}");
        assert_eq!(shown["locks"], locks, "{shown:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_the_server_as_its_client_called_it() {
    let server = Server::start(&["--allowed-host", "rounds.example"]).await;
    let port = server.addresses.api.rsplit_once(':').expect("a port").1;
    let (local, proxied) = (format!("localhost:{port}"), ("host", "rounds.example"));
    for (headers, url) in [
        (vec![("host", local.as_str())], format!("http://{local}")),
        (vec![proxied, ("x-forwarded-proto", "https")], "https://rounds.example".to_owned()),
        (vec![proxied], "http://rounds.example".to_owned()),
        // The page at /docs, whose proxy does not say that it is https.
        (vec![proxied, ("sec-fetch-site", "same-origin")], "/".to_owned()),
    ] {
        let with_headers = |request| {
            headers.iter().fold(request, |request: reqwest::RequestBuilder, (name, value)| {
                request.header(*name, *value)
            })
        };
        let document = server.send(|http| with_headers(http.get(server.url("/openapi.json")))).await.ok();
        assert_eq!(document["servers"], json!([{ "url": url }]), "{headers:?}");
    }
}

#[test]
fn the_described_errors_are_those_of_docs_errors() {
    let text = fs::read_to_string(repository().join("docs/ERRORS.md")).expect("docs/ERRORS.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: BTreeMap<&str, &str> =
        rows.map(|(code, rest)| (code, rest.split(" |").next().unwrap_or_default())).collect();
    let described: BTreeMap<&str, String> =
        CODES.iter().map(|(code, status, _)| (*code, status.to_string())).collect();
    let described: BTreeMap<&str, &str> =
        described.iter().map(|(code, status)| (*code, status.as_str())).collect();
    assert_eq!(described, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_undescribed_response() {
    let server = served::start().await;
    let text = format!("{HEADER}\n{}{}", lines(0..50), line(50, "12.5x"));
    let upload = server.upload(text, "wait=visible&name=rounds.csv").await.ok();
    let other = format!("{HEADER}\n{}", line(3, "0.5"));
    let directory = TempDir::new().expect("a directory");
    let conflicting = server.upload(other.clone(), "wait=visible&name=other.csv").await.ok();
    let (of_file, of_other) = (upload["upload_id"].clone(), conflicting["upload_id"].clone());
    let upload = json!({ "id": [of_file] });
    let path = server.reconcile_body(other, "").await["links"]["self"].as_str().expect("a path").to_owned();
    let job = json!({ "id": [path.rsplit('/').next()] });
    let filters = json!({ "player_id": ["player-0", "player-1"], "game_id": [7] });
    let values = json!({
        "/datasets/{name}": { "name": ["bets", "payments"] },
        "/aggregates": filters,
        "/aggregates/summary": filters,
        "/reconcile": { "upload_id": [of_file, of_other] },
        "/reconcile/{id}": job,
        "/reconcile/{id}/differences": job,
        "/reconcile/{id}/repair": job,
        "/payment/{id}": { "id": [7, 9] },
        "/datasets/payments/one": { "id": [7] },
        "/datasets/payments/list": { "payer": ["payer'1"], "pairs": ["[\"payer'1\",\"card\"]"] },
        "/uploads/{id}": upload,
        "/uploads/{id}/rejects": upload,
        "/uploads/{id}/conflicts": { "id": [of_other] },
        "/uploads/{id}/replay": upload,
    });

    let output = directory.path().join("output");
    let written = fs::File::create(&output).expect("a file");
    let mut child = Command::new(installed(".venv/bin/python"))
        .arg(installed("api_description.py"))
        .args([&server.addresses.api, directory.path().to_str().expect("a path"), &values.to_string()])
        .stdout(written.try_clone().expect("the file again"))
        .stderr(written)
        .spawn()
        .expect("run Python");
    let status =
        until_within(SCHEMATHESIS_PATIENCE, "schemathesis has ended", async || child.try_wait().unwrap())
            .await;
    let said = fs::read_to_string(&output).expect("what it said");
    assert!(status.success(), "{said}");
    // It has checked every operation.
    let described = server.get("/openapi.json").await.ok();
    let count = operations(&described).len();
    assert!(
        said.contains(&format!("{count} selected / {count} total")) && said.contains("No issues found"),
        "{said}"
    );
}
