//! `roundhouse uploads`, `rejects`, `conflicts` and `status`, run as a user and as a script runs them.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::{Said, client, run};
use crate::harness::files::{HEADER, line, lines};
use crate::harness::server::Server;

const KEY: &str = "a-key-for-the-tests-only";

/// An id that no upload has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

async fn said(server: &Server, command: &str, arguments: &[&str]) -> Said {
    run(client(command, &server.addresses.api, KEY, arguments)).await
}

async fn upload(server: &Server, name: &str, rows: &str) -> String {
    let url = server.url(&format!("/uploadcsv?wait=visible&name={name}"));
    let body = format!("{HEADER}\n{rows}");
    let receipt = server.send(|http| http.post(url).bearer_auth(KEY).body(body)).await.ok();
    receipt["upload_id"].as_str().unwrap().to_owned()
}

/// Asserts success, and returns standard output.
fn shown(said: Said) -> String {
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    said.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_rejects_and_conflicts_are_listed() {
    let server = Server::start(&["--api-key", KEY]).await;
    let rejected: String = (2..30).map(|id| line(id, "12.5x")).collect();
    let first = upload(&server, "first.csv", &format!("{}{rejected}too,few\n", lines(0..2))).await;
    let second = upload(&server, "second.csv", &format!("{}{}", line(0, "7"), line(1, "0.25"))).await;

    let text = shown(said(&server, "uploads", &[]).await);
    let row = |id: &str| text.lines().position(|line| line.contains(id)).unwrap();
    assert!(row(&second) < row(&first), "{text}");
    for cell in ["second.csv", "visible", "state", "accepted", "rejected"] {
        assert!(text.contains(cell), "{cell}: {text}");
    }
    let text = shown(said(&server, "uploads", &["--limit", "1"]).await);
    assert!(!text.contains("first.csv") && text.contains("use --all for every upload"), "{text}");
    let text = shown(said(&server, "uploads", &["--json", "--limit", "1"]).await);
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["items"][0]["upload_id"], second.as_str());

    let text = shown(said(&server, "rejects", &[&first]).await);
    assert_eq!(text.matches("not_a_decimal").count(), 20, "{text}");
    assert!(text.contains("real_amount_bet") && text.contains("use --limit all, or -o FILE"), "{text}");
    let text = shown(said(&server, "rejects", &["--limit", "all", &first]).await);
    assert_eq!(text.matches("not_a_decimal").count(), 28, "{text}");
    assert!(text.contains("the whole row") && text.contains("too,few"), "{text}");
    let text = shown(said(&server, "rejects", &["--code", "not_a_decimal", "--json", &first]).await);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["line"]), (28, &Value::from(4)));
    let text = shown(said(&server, "rejects", &[&second]).await);
    assert_eq!(text, "no rejected rows\n");
    let csv = shown(said(&server, "rejects", &["--format", "csv", &first]).await);
    assert_eq!(csv.lines().count(), 30, "{csv}");
    assert_eq!(shown(said(&server, "rejects", &["-o", "-", &first]).await), csv);

    let text = shown(said(&server, "conflicts", &[&second]).await);
    let difference = "real_amount_bet: 7 in the file, 0.25 stored";
    assert!(text.contains(difference) && text.contains(&format!("line 2 of upload {first}")), "{text}");
    assert!(!text.contains("game_name"), "{text}");
    assert!(shown(said(&server, "conflicts", &[&first]).await).starts_with("no rows in conflict"));
    let csv = shown(said(&server, "conflicts", &["--format", "csv", &second]).await);
    assert!(csv.starts_with("\"line\",\"game_instance_id\"") && csv.lines().count() == 2, "{csv}");

    correct_and_replay(&server, &first).await;
    a_failure_is_one_line(&server, &first).await;
}

/// Rejected rows are written to a file, corrected there, and sent again.
async fn correct_and_replay(server: &Server, upload: &str) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("rejects.csv");
    let path = file.to_str().unwrap();
    let text = shown(said(server, "rejects", &["--code", "not_a_decimal", "-o", path, upload]).await);
    assert_eq!(text, format!("rejected rows written to {path}\n"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a partial file is left");
    let corrected = fs::read_to_string(&file).unwrap().replace("12.5x", "12.5");
    fs::write(&file, corrected).unwrap();
    let replay = client("dlq replay", &server.addresses.api, KEY, &["--upload", upload, "--file", path]);
    let text = shown(run(replay).await);
    assert!(
        text.starts_with("28 rows sent again as upload ") && text.contains(", 0 still rejected"),
        "{text}"
    );
    let text = shown(said(server, "rejects", &[upload]).await);
    assert!(text.contains("too,few") && !text.contains("not_a_decimal"), "{text}");
    let text = shown(said(server, "rejects", &["--replayed", "--limit", "all", upload]).await);
    assert_eq!(text.matches("not_a_decimal").count(), 28, "{text}");
}

async fn a_failure_is_one_line(server: &Server, upload: &str) {
    let nowhere = "/no/such/directory/rejects.csv";
    for (command, arguments, text) in [
        (
            "rejects",
            &[UNKNOWN][..],
            "404 no_such_upload: there is no upload with this id; `roundhouse uploads` lists them",
        ),
        ("conflicts", &[UNKNOWN], "404 no_such_upload"),
        ("rejects", &["x"], "`roundhouse uploads` lists them"),
        ("rejects", &[], "UPLOAD"),
        ("rejects", &["--limit", "few", upload], "--limit"),
        ("rejects", &["--format", "table", "-o", "x.csv", upload], "--output writes CSV or NDJSON"),
        ("rejects", &["-o", nowhere, upload], "cannot be written"),
        ("uploads", &["--limit", "0"], "--limit"),
    ] {
        let said = said(server, command, arguments).await;
        assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(text) && said.stdout.is_empty(), "{arguments:?}: {said:?}");
    }
    let mut from_variable = client("uploads", &server.addresses.api, KEY, &[]);
    from_variable.env("ROUNDHOUSE_LOG_FORMAT", "xml");
    let said_so = run(from_variable).await;
    let text = "invalid value 'xml' for '--log-format <LOG_FORMAT>' (from ROUNDHOUSE_LOG_FORMAT)";
    assert!(said_so.code == Some(2) && said_so.stderr.contains(text), "{said_so:?}");
    for command in ["uploads", "rejects", "conflicts"] {
        let arguments = ["--json", upload];
        let arguments = if command == "uploads" { &arguments[..1] } else { &arguments[..] };
        let said = run(client(command, &server.addresses.api, "", arguments)).await;
        assert!(said.code == Some(2) && said.stderr.contains("401 unauthorized"), "{said:?}");
        assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["code"], "unauthorized", "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_names_each_part_and_its_exit_code_says_whether_all_are_ready() {
    let server = Server::start(&["--disk-reserve-bytes", "16MiB"]).await;
    server.until_ready().await;
    let text = shown(said(&server, "status", &[]).await);
    assert!(text.starts_with("ready: 7 of 7 parts;") && text.contains("--loader is roundhouse"), "{text}");
    for part in ["broker", "registry", "clickhouse", "disk", "16.78 MB kept in reserve"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = shown(said(&server, "status", &["--json"]).await);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["ready"], true);
    drop(server);

    // More than any disk has: the disk is not ready.
    let server = Server::start(&["--disk-reserve-bytes", "1000000TiB"]).await;
    let said_so = said(&server, "status", &[]).await;
    assert_eq!((said_so.code, said_so.stderr.as_str()), (Some(1), ""), "{said_so:?}");
    assert!(said_so.stdout.starts_with("not ready: 1 of "), "{said_so:?}");
    let disk = said_so.stdout.lines().find(|line| line.contains("disk")).unwrap();
    assert!(disk.contains("not ready") && disk.contains(" free"), "{said_so:?}");
    let said_so = said(&server, "status", &["--json"]).await;
    assert_eq!(said_so.code, Some(1), "{said_so:?}");
    assert_eq!(serde_json::from_str::<Value>(&said_so.stdout).unwrap()["parts"]["disk"]["ready"], false);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = run(client("status", &format!("127.0.0.1:{port}"), "", &[])).await;
    assert_eq!((away.code, away.stderr.lines().count()), (Some(2), 1), "{away:?}");
    assert!(away.stderr.contains(&format!("no server answers at http://127.0.0.1:{port}")), "{away:?}");
}
