//! Endpoints of a running server: `tests/datasets` has a dataset of payments.

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::repository;
use crate::harness::server::{Answer, Server, refusal};

/// Options of a server with the dataset.
pub fn options() -> Vec<String> {
    let directory = repository().join("tests/datasets").display().to_string();
    ["--dataset", "payments", "--dataset", "bets", "--datasets", &directory].map(str::to_owned).into()
}

/// Starts a server with 50 payments.
pub async fn start() -> Server {
    let options = options();
    let server = Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
    server
        .clickhouse(
            "INSERT INTO payments (payment_id, paid_at, method, payer, amount)
             SELECT number, toDateTime64('2026-11-28 00:00:00', 3, 'UTC') + toIntervalMinute(number * 37), ['card', 'transfer', 'wallet'][number % 3 + 1],
                 concat('payer\\'', toString(number % 4)), toDecimal64(number % 10, 4) + 0.25
             FROM numbers(50)",
        )
        .await;
    server
}

async fn post(server: &Server, path: &str, body: Value) -> Answer {
    server.send(|http| http.post(server.url(path)).json(&body)).await
}

/// Returns the ids of a page.
fn ids(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["payment_id"].as_u64().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_served_under_its_path_and_its_aliases() {
    let server = start().await;
    pages_are_complete(&server).await;
    values_choose_rows(&server).await;
    one_row_is_an_object(&server).await;
    mistakes_name_the_parameter(&server).await;
    formats_are_exact(&server).await;
    answers_are_kept(&server).await;
    figures_are_drawn(&server).await;
    server.get("/datasets/payments/no_such").await.problem(404, "no_such_path");
    server.get("/datasets/nothing/list").await.problem(404, "no_such_path");
    let refused = server.send(|http| http.delete(server.url("/datasets/payments/list"))).await;
    refused.problem(405, "method_not_allowed");
}

async fn pages_are_complete(server: &Server) {
    for start in
        ["/datasets/payments/list", "/payments/largest?limit=7&format=json", "/payments/largest/?limit=100"]
    {
        let (mut found, mut next) = (Vec::new(), Some(start.to_owned()));
        while let Some(path) = next {
            let answer = server.get(&path).await;
            let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
            let page = answer.ok();
            next = page["links"]["next"].as_str().map(str::to_owned);
            assert_eq!(link, next.as_ref().map(|next| format!("<{next}>; rel=\"next\"")));
            assert_eq!(next.is_some(), page["page"]["next_cursor"].is_string());
            found.extend(ids(&page));
        }
        let mut expected: Vec<u64> = (0..50).collect();
        expected.sort_by_key(|id| (9 - id % 10, *id));
        assert_eq!(found, expected, "{start}");
    }
    let first = post(server, "/datasets/payments/list", json!({ "limit": 3 })).await.ok();
    assert_eq!((ids(&first), &first["links"]["next"]), (vec![9, 19, 29], &Value::Null));
    let cursor = &first["page"]["next_cursor"];
    let second = post(server, "/datasets/payments/list", json!({ "limit": 3, "cursor": cursor })).await.ok();
    assert_eq!(ids(&second), [39, 49, 8]);
    let other = json!({ "least": "1", "cursor": cursor });
    let refused = post(server, "/datasets/payments/list", other).await.problem(400, "invalid_parameter");
    assert_eq!(refused["parameter"], "cursor");
}

async fn values_choose_rows(server: &Server) {
    let found = server.get("/payments/largest?payer=payer'1&payer=payer'2&least=9.25").await.ok();
    assert_eq!(ids(&found), [9, 29, 49]);
    let since = server.get("/payments/largest?since=2026-11-29T05:00:00%2B00:00&limit=2").await.ok();
    assert_eq!(ids(&since), [49, 48]);
    let pairs =
        json!({ "pairs": [["payer'1", "card"], { "payer": "payer'2", "method": "wallet" }], "least": "8" });
    assert_eq!(ids(&post(server, "/payments/largest", pairs).await.ok()), [9, 38]);
    let in_url = r#"/payments/largest?pairs=["payer'1","card"]&least=9"#;
    assert_eq!(ids(&server.get(in_url).await.ok()), [9]);
    for text in ["'; DROP TABLE payments; --", "{text:String}", "\\N", "a\0\t\n\r\\'\"`?%", "日本"] {
        let echoed = post(server, "/datasets/payments/echo", json!({ "text": text })).await.ok();
        assert_eq!(echoed["items"], json!([{ "text": text, "bytes": text.len() }]));
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("text", text).finish();
        let echoed = server.get(&format!("/datasets/payments/echo?{query}")).await.ok();
        assert_eq!(echoed["items"][0]["text"], text);
    }
    assert_eq!(server.clickhouse("SELECT count() FROM payments").await, "50");
}

async fn one_row_is_an_object(server: &Server) {
    let row = json!({
        "payment_id": 7, "paid_at": "2026-11-28T04:19:00.000Z", "method": "transfer", "payer": "payer'3", "amount": "7.25",
    });
    assert_eq!(server.get("/payment/7").await.ok(), row);
    assert_eq!(server.get("/datasets/payments/one?id=7").await.ok(), row);
    assert_eq!(post(server, "/datasets/payments/one", json!({ "id": 7 })).await.ok(), row);
    assert_eq!(post(server, "/payment/7", json!({})).await.ok(), row);
    server.get("/payment/77").await.problem(404, "no_row");
    server.get("/payment/77?format=csv").await.problem(404, "no_row");
    assert_eq!(server.get("/payment/7?format=csv").await.ok().as_str().unwrap().lines().count(), 2);
    let twice = server.get("/payment/7?id=8").await.problem(400, "invalid_parameter");
    assert!(twice["detail"].as_str().unwrap().contains("part of the path"), "{twice}");
}

async fn mistakes_name_the_parameter(server: &Server) {
    for (path, parameter, detail) in [
        ("/payment/x", "id", "it must be a whole number from 0 to 18446744073709551615"),
        ("/payment/%ff", "path", "not UTF-8"),
        ("/datasets/payments/one", "id", "it is missing, and must be a whole number"),
        ("/datasets/payments/one?id=7&id=8", "id", "given once"),
        ("/datasets/payments/list?limit=101", "limit", "it must be a whole number from 1 to 100"),
        ("/datasets/payments/list?least=-1", "least", "at least 0"),
        ("/datasets/payments/list?least=1.23456", "least", "at most 14 digits before and 4 after"),
        ("/datasets/payments/list?since=now", "since", "a time such as"),
        ("/datasets/payments/list?pairs=x", "pairs", "a JSON array of payer, method"),
        (
            "/datasets/payments/list?colour=red",
            "colour",
            "use one of payer, pairs, least, since, limit, cursor, format",
        ),
        ("/datasets/payments/list?cursor=x", "cursor", "next_cursor"),
        ("/datasets/payments/list?format=svg", "format", "one of json, csv, ndjson, arrow, parquet"),
        ("/datasets/payments/list?format=csv&format=csv", "format", "only once"),
        ("/datasets/payments/daily?method=cash", "method", "one of card, transfer, wallet"),
        ("/datasets/payments/daily?cursor=x", "cursor", "is not a parameter"),
        ("/datasets/payments/daily?format=png&width=5", "width", "from 160 to 4096"),
        ("/datasets/payments/daily?format=png&width=4096&height=4096", "width", "pixels; lower"),
        ("/datasets/payments/daily?theme=red", "theme", "light or dark"),
    ] {
        let problem = server.get(path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{path}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem:#}");
    }
    let url = server.url("/datasets/payments/list");
    let sent = async |kind: &str, body: String| {
        server.send(|http| http.post(&url).header(CONTENT_TYPE, kind).body(body)).await
    };
    sent("application/json", "[1]".to_owned()).await.problem(400, "bad_json");
    sent("application/json", "{\"payer\": ".to_owned()).await.problem(400, "bad_json");
    sent("text/plain", "{}".to_owned()).await.problem(415, "json_required");
    sent("application/json", format!("{{\"payer\":\"{}\"}}", "x".repeat(1 << 20)))
        .await
        .problem(413, "json_too_large");
    let in_url = server.send(|http| http.post(format!("{url}?limit=5")).json(&json!({}))).await;
    assert_eq!(in_url.problem(400, "invalid_parameter")["parameter"], "limit");
    let failed = server.get("/datasets/payments/fails?text=fail").await.problem(400, "values_refused");
    let text = failed.to_string();
    assert!(!text.contains("secret") && !text.contains("SELECT") && !text.contains("throwIf"), "{text}");
}

async fn formats_are_exact(server: &Server) {
    let get = async |query: &str| server.get(&format!("/datasets/payments/list?limit=2&{query}")).await;
    let expected = json!({
        "payment_id": 9, "paid_at": "2026-11-28T05:33:00.000Z", "method": "card", "payer": "payer'1", "amount": "9.25",
        "reference": "900000000000000000000",
    });
    assert_eq!(get("").await.ok()["items"][0], expected);
    let csv = get("format=csv").await;
    let link = csv.headers["link"].to_str().unwrap().to_owned();
    assert!(link.contains("format=csv") && link.contains("cursor="), "{link}");
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"list.csv\"");
    let text = csv.ok();
    let lines: Vec<&str> = text.as_str().unwrap().lines().collect();
    assert_eq!(lines[0], "\"payment_id\",\"paid_at\",\"method\",\"payer\",\"amount\",\"reference\"");
    assert_eq!(
        lines[1],
        "9,\"2026-11-28T05:33:00.000Z\",\"card\",\"payer'1\",9.25,\"900000000000000000000\""
    );
    assert_eq!(lines.len(), 3);
    let formula = "/datasets/payments/echo?format=csv&text=%3D1%2B1&escape_formulas=";
    for (escape, cell) in [("true", "\"'=1+1\",4\n"), ("false", "\"=1+1\",4\n")] {
        let text = server.get(&format!("{formula}{escape}")).await.ok();
        assert_eq!(text.as_str().unwrap().split_once('\n').unwrap().1, cell);
    }
    let ndjson = server
        .send(|http| http.get(server.url("/payments/largest?limit=2")).header(ACCEPT, "application/x-ndjson"))
        .await;
    assert_eq!(ndjson.headers["content-type"], "application/x-ndjson");
    let text = ndjson.ok();
    let text = text.as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap(), expected);
    for (format, start, end) in
        [("arrow", &b"\xff\xff\xff\xff"[..], &b"\xff\xff\xff\xff\0\0\0\0"[..]), ("parquet", b"PAR1", b"PAR1")]
    {
        let url = server.url(&format!("/datasets/payments/list?format={format}"));
        let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        assert!(bytes.starts_with(start) && bytes.ends_with(end), "{format}");
    }
}

async fn answers_are_kept(server: &Server) {
    let path = "/payments/daily?method=transfer";
    let before = server.get(path).await;
    assert_eq!(before.headers["cache-control"], "private, max-age=3600");
    let tag = before.headers[ETAG].clone();
    server.clickhouse("INSERT INTO payments (payment_id, paid_at, method, amount) VALUES (1000, '2026-11-28 00:00:00', 'transfer', 5)").await;
    let again = server.get(path).await;
    assert_eq!((&again.headers[ETAG], &again.body), (&tag, &before.body));
    let known = server.send(|http| http.get(server.url(path)).header(IF_NONE_MATCH, &tag)).await;
    assert_eq!(known.status, 304);
    let other = server.get("/payments/daily?method=wallet").await;
    assert_ne!(other.headers[ETAG], tag);
    // Without `cache`, an answer is always that of the moment.
    let fresh = server.get("/payment/1000").await;
    assert_eq!(fresh.headers["cache-control"], "private, no-cache");
    assert_eq!(fresh.ok()["amount"], "5");
    server.clickhouse("DELETE FROM payments WHERE payment_id = 1000").await;
    server.get("/payment/1000").await.problem(404, "no_row");
}

async fn figures_are_drawn(server: &Server) {
    for path in ["/payments/daily?format=svg", "/datasets/payments/candles?format=svg&width=300&height=200"] {
        let answer = server.get(path).await;
        assert_eq!(answer.headers["content-type"], "image/svg+xml");
        assert!(
            answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
        let text = answer.ok();
        let text = text.as_str().expect("text");
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
    }
    let daily = server.get("/payments/daily?format=svg").await.ok();
    let daily = daily.as_str().unwrap();
    for text in ["Payments per day, with a method", "2026-11-28", "day", "total", "largest"] {
        assert!(daily.contains(text), "{text}");
    }
    let image = |query: &str| {
        let request = reqwest::Client::new().get(server.url(&format!("/payments/daily?{query}")));
        async move {
            let answer = request.header(ACCEPT, "image/png").send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], "image/png");
            answer.bytes().await.unwrap()
        }
    };
    let (light, dark) = (image("width=400&height=300").await, image("width=400&height=300&theme=dark").await);
    assert!(light.starts_with(b"\x89PNG\r\n") && light != dark);
    // Width and height are in the first chunk.
    assert_eq!(light[16..24], [0, 0, 1, 144, 0, 0, 1, 44]);
}

/// Writes the dataset with another file of an endpoint. Returns the directory.
fn with_endpoint(text: &str) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let from = repository().join("tests/datasets");
    for folder in ["schemas", "queries/payments", "queries/payments/tables", "queries/payments/endpoints"] {
        std::fs::create_dir_all(directory.path().join(folder)).expect("a folder");
        for entry in std::fs::read_dir(from.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.file_name().expect("a name");
                std::fs::copy(&path, directory.path().join(folder).join(name)).expect("copy a file");
            }
        }
    }
    std::fs::write(directory.path().join("queries/payments/endpoints/wrong.sql"), text)
        .expect("write a file");
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_an_endpoint_stops_the_start_with_file_line_and_remedy() {
    for (text, message) in [
        (
            "-- A\n-- param a required x\nSELECT 1",
            "wrong.sql:2: the statement has no placeholder {a:Type}; add it",
        ),
        (
            "-- A\n-- path: /payments/largest\nSELECT 1",
            "wrong.sql:2: the path /payments/largest is also that of",
        ),
        ("-- A\n-- path: /uploads/mine\nSELECT 1", "wrong.sql:2: the server has paths below /uploads; begin"),
        ("-- A\n\nSELECT no_such_column FROM payments", "wrong.sql:3: ClickHouse refuses the statement: "),
    ] {
        let directory = with_endpoint(text);
        let data = TempDir::new().expect("a directory");
        let datasets = directory.path().to_str().expect("a path");
        let refused = refusal(data.path(), &["--dataset", "payments", "--datasets", datasets]).await;
        refused.assert(2, message);
    }
}
