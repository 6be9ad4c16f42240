//! What every command does when its output is not read, its input is standard input, or its server is not Roundhouse.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use axum::Router;
use axum::response::Html;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::ROUNDHOUSE;
use crate::harness::command::{Said, client, run};
use crate::harness::files::{HEADER, csv, line, write};
use crate::harness::server::Server;

/// An id that no upload has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Runs a command whose standard output nobody reads.
async fn unread(mut command: Command) -> Said {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    tokio::task::spawn_blocking(move || {
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        Said::from(child.wait_with_output().unwrap())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_nobody_reads_ends_quietly_with_exit_code_141() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.as_str();
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "rounds.csv", &format!("{}{}", csv(0..5), line(5, "x")));
    let receipt = server.upload(fs::read_to_string(&file).unwrap(), "wait=visible").await.ok();
    let upload = receipt["upload_id"].as_str().unwrap();
    for (command, arguments) in [
        ("upload", &[file.as_str()][..]),
        ("upload", &["--json", &file]),
        ("upload", &["--validate-only", &file]),
        ("reconcile", &[&file]),
        ("reconcile", &["--json", &file]),
        ("aggregates", &[]),
        ("aggregates", &["--format", "csv"]),
        ("uploads", &[]),
        ("rejects", &[upload]),
        ("rejects", &["-o", "-", upload]),
        ("conflicts", &[upload]),
        ("dlq replay", &["--upload", upload]),
        ("dlq replay", &["--json", "--upload", upload]),
        ("status", &[]),
    ] {
        let said = unread(client(command, api, "", arguments)).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(141), ""), "{command} {arguments:?}: {said:?}");
    }
    let mut generate = Command::new(ROUNDHOUSE);
    generate.args(["generate", "-o", "-", "--rows", "100000"]);
    assert_eq!(unread(generate).await.code, Some(141));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_from_standard_input() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.as_str();
    let directory = TempDir::new().unwrap();
    let whole = write(&directory, "whole.csv", &csv(0..500));
    let from = |command: &str, arguments: &[&str], file: &str| {
        let mut command = client(command, api, "", arguments);
        command.stdin(File::open(file).unwrap());
        run(command)
    };
    let said = from("upload", &["-"], &whole).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(
        said.stdout.starts_with("standard input: visible") && said.stdout.contains("  500 rows: "),
        "{said:?}"
    );
    let said = from("reconcile", &["-"], &whole).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with("standard input: reconciliation "), "{said:?}");

    // Compressed bytes from a pipe.
    let rejected = write(&directory, "rejected.csv", &format!("{HEADER}\n{}", line(600, "12.5x")));
    let mut gzip = Command::new("gzip").args(["-c", &rejected]).stdout(Stdio::piped()).spawn().unwrap();
    let mut command = client("upload", api, "", &["--name", "from-a-pipe.csv", "-"]);
    command.stdin(gzip.stdout.take().unwrap());
    let said = run(command).await;
    assert!(gzip.wait().unwrap().success());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("  1 row: 0 accepted, 1 rejected\n"), "{said:?}");
    let names = run(client("uploads", api, "", &[])).await.stdout;
    assert!(names.contains(" stdin ") && names.contains(" from-a-pipe.csv "), "{names}");

    let page = server.get("/uploads").await.ok();
    let upload = page["items"][0]["upload_id"].as_str().unwrap();
    let rejects = run(client("rejects", api, "", &["-o", "-", upload])).await.stdout;
    let corrected = write(&directory, "corrected.csv", &rejects.replace("12.5x", "12.5"));
    let said = from("dlq replay", &["--upload", upload, "--file", "-"], &corrected).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.starts_with("1 row sent again as upload "), "{said:?}");

    let said = from("upload", &["-"], directory.path().to_str().unwrap()).await;
    assert!(said.code == Some(2) && said.stderr.contains("standard input: cannot be read: "), "{said:?}");
    let said = from("upload", &["--name", "x.csv", "-", &whole], &whole).await;
    assert!(said.code == Some(2) && said.stderr.contains("--name is the name of one file"), "{said:?}");
}

/// Serves one page at every path.
async fn site(page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(async move || Html(page));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_roundhouse_is_named_with_what_it_answers() {
    let server = Server::start(&[]).await;
    let addresses = &server.addresses;
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "rounds.csv", &csv(0..5));
    let list = directory.path().join("list.csv");
    let list = list.to_str().unwrap();
    let page = site("<html>welcome</html>").await;
    let commands = [
        ("status", &[][..]),
        ("uploads", &[]),
        ("upload", &[file.as_str()]),
        ("reconcile", &[&file]),
        ("aggregates", &[]),
        ("aggregates", &["--format", "csv"]),
        ("rejects", &["-o", list, UNKNOWN]),
        ("conflicts", &[UNKNOWN]),
        ("dlq replay", &["--upload", UNKNOWN]),
    ];
    for (address, what) in [
        (&addresses.clickhouse_url, "404 Not Found, text/"),
        (&addresses.schema_registry_url, "404 Not Found, application/"),
        (&page, "200 OK, text/html"),
    ] {
        for (command, arguments) in commands {
            let said = run(client(command, address, "", arguments)).await;
            assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{command}: {said:?}");
            let text = format!("{address} answers, but it is not Roundhouse ({what}");
            assert!(said.stderr.contains(&text), "{command}: {said:?}");
            assert!(said.stderr.ends_with("); check --server\n"), "{command}: {said:?}");
        }
    }
    assert!(!fs::exists(list).unwrap(), "the page was saved as a list");
    // A server that does not speak HTTP.
    let broker = format!("http://{}", addresses.kafka_brokers);
    let said = run(client("status", &broker, "", &[])).await;
    assert!(said.code == Some(2) && said.stderr.contains("check --server"), "{said:?}");
    let said = run(client("status", &addresses.api.replace("http:", "https:"), "", &[])).await;
    assert!(said.code == Some(2) && said.stderr.contains("no server answers at https://"), "{said:?}");
    assert!(said.stderr.contains(" ("), "without the cause: {said:?}");
}

/// Answers every request with a page, and closes the connection after the head of a request, without reading its body.
async fn hasty_site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 16];
            let _ = connection.read_exact(&mut head).await;
            if head.starts_with(b"GET") {
                let _ = connection.read(&mut [0; 4096]).await;
                let page = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
                let _ = connection.write_all(page.as_bytes()).await;
            }
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_the_connection_instead_of_reading_a_file_is_asked_who_it_is() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "rounds.csv", &csv(0..50_000));
    let address = hasty_site().await;
    for command in ["upload", "reconcile"] {
        let said = run(client(command, &address, "", &[file.as_str()])).await;
        assert_eq!(said.code, Some(2), "{command}: {said:?}");
        let text = format!(
            "{address} answers, but it is not Roundhouse (404 Not Found, text/html); check --server\n"
        );
        assert!(said.stderr.ends_with(&text), "{command}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_a_sentence() {
    let server = Server::start(&[]).await;
    for (command, sentence) in [("uploads", "no uploads\n"), ("aggregates", "no aggregates\n")] {
        let said = run(client(command, &server.addresses.api, "", &[])).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), sentence), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_names_options_and_commands() {
    let server = Server::start(&[]).await;
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "rounds.csv", &csv(0..5));
    for (command, arguments, text) in [
        ("upload", &["--timezone", "X/Y", &file][..], "400 invalid_parameter: --timezone: it must be auto, "),
        (
            "upload",
            &["--columns", "foo:bar", &file],
            "400 invalid_parameter: --columns: there is no column \"foo\"",
        ),
        (
            "reconcile",
            &["--columns", "foo:bar", &file],
            "400 invalid_parameter: --columns: there is no column",
        ),
        ("rejects", &["--code", "A B", UNKNOWN], "400 invalid_parameter: --code: it must be "),
        ("dlq replay", &["--upload", UNKNOWN, "--timezone", "X/Y"], "400 invalid_parameter: --timezone: "),
        (
            "dlq replay",
            &["--upload", UNKNOWN],
            "404 no_such_upload: there is no upload with this id; `roundhouse uploads` lists",
        ),
        (
            "upload",
            &["--columns", "PlayerID:user_id,\"Vendor, Inc.\":provider", &file],
            "--columns: the column comes first, then the name in the file; write user_id:PlayerID,provider:\"Vendor, Inc.\"\n",
        ),
        ("upload", &["--columns", "user_id:Nobody", &file], " --columns "),
    ] {
        let said = run(client(command, &server.addresses.api, "", arguments)).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(text), "{arguments:?}: {said:?}");
        assert!(!said.stderr.contains("%2B"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_file_shows_again_why_its_rows_were_rejected_until_a_replay_has_sent_them() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.as_str();
    let directory = TempDir::new().unwrap();
    let rows: String = (0..3).map(|id| line(id, "12.5x")).collect();
    let file = write(&directory, "invalid.csv", &format!("{HEADER}\n{rows}"));
    let first = run(client("upload", api, "", &[&file])).await;
    let again = run(client("upload", api, "", &[&file])).await;
    let reasons = |said: &Said| -> Vec<String> {
        said.stdout.lines().filter(|line| line.starts_with("  line ")).map(str::to_owned).collect()
    };
    assert!(again.code == Some(1) && again.stdout.contains(": already uploaded"), "{again:?}");
    assert_eq!((reasons(&again).len(), reasons(&again)), (3, reasons(&first)), "{again:?}");
    assert!(reasons(&first)[0].contains("line 2, real_amount_bet: not a decimal number"), "{first:?}");
    // The API answers so without waiting too.
    let known = server.upload(fs::read_to_string(&file).unwrap(), "").await.ok();
    assert_eq!(
        (&known["state"], &known["rejects"][2]["line"]),
        (&"duplicate".into(), &4.into()),
        "{known:#}"
    );
    assert_eq!(known["rejects"][0]["faults"][0]["code"], "not_a_decimal", "{known:#}");

    let upload = known["upload_id"].as_str().unwrap();
    let list = run(client("rejects", api, "", &["-o", "-", upload])).await.stdout;
    let replay = |path: &str| run(client("dlq replay", api, "", &["--upload", upload, "--file", path]));
    let corrected =
        list.replace("12.5x", "12.5").lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let said = replay(&write(&directory, "two.csv", &corrected)).await;
    assert!(said.stdout.starts_with("2 rows sent again as upload "), "{said:?}");
    let stored =
        ", 0 still rejected\n  2 accepted: 2 new, 0 already stored, 0 stored with different values\n";
    assert!(said.stdout.contains(stored), "{said:?}");
    let again = run(client("upload", api, "", &[&file])).await;
    assert_eq!((again.code, reasons(&again).len()), (Some(1), 1), "{again:?}");
    assert!(!again.stdout.contains("more rejected row"), "{again:?}");
    let said = replay(&write(&directory, "all.csv", &list.replace("12.5x", "12.5"))).await;
    assert!(said.stdout.starts_with("1 row sent again as upload "), "{said:?}");
    let again = run(client("upload", api, "", &[&file])).await;
    assert_eq!((again.code, reasons(&again).len()), (Some(0), 0), "{again:?}");
    let hint = format!("were sent again by a replay; to see them: roundhouse rejects {upload} --replayed\n");
    assert!(again.stdout.ends_with(&hint), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_open_rejects_makes_no_upload_and_says_so() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.as_str();
    let receipt = server.upload(format!("{}{}", csv(0..2), line(2, "x")), "wait=visible").await.ok();
    let upload = receipt["upload_id"].as_str().unwrap();
    let url = server.url(&format!("/uploads/{upload}/replay?code=not_an_integer"));
    let nothing = server.send(|http| http.post(&url)).await.ok();
    let expected = serde_json::json!({
        "state": "nothing_to_replay", "replay_of": upload, "replayed": 0, "still_rejected": 0,
    });
    assert_eq!(nothing, expected);
    let said = run(client("dlq replay", api, "", &["--upload", upload, "--code", "not_an_integer"])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    let text = format!(
        "upload {upload} has no open rejected rows with the fault not_an_integer; nothing was sent\n"
    );
    assert_eq!(said.stdout, text);
    let page = server.get("/uploads").await.ok();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page:#}");
    // The open one is tried, and stays open.
    let said = run(client("dlq replay", api, "", &["--upload", upload])).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains(", 1 still rejected\n  line 4, real_amount_bet: not a decimal"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_a_repair_has_ended_is_not_listed_any_more() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.as_str();
    let directory = TempDir::new().unwrap();
    server.upload(csv(0..5), "wait=visible").await.ok();
    let other = format!("{HEADER}\n{}{}{}", line(1, "7"), line(2, ""), line(3, "9"));
    let file = write(&directory, "other.csv", &other);
    let receipt = server.upload(other, "wait=visible").await.ok();
    assert_eq!(receipt["conflict"], 3, "{receipt:#}");
    let upload = receipt["upload_id"].as_str().unwrap();
    let listed = async || {
        let said = run(client("conflicts", api, "", &["--format", "csv", upload])).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["1", "2", "3"]);
    // Two of them are corrected in the file: these become equal, the other one stays a conflict.
    fs::write(&file, format!("{HEADER}\n{}{}", line(1, "7"), line(2, ""))).unwrap();
    let said = run(client("reconcile", api, "", &["--repair", "--prefer", "file", &file])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(listed().await, ["3"]);
}
