//! `roundhouse upload`, run as a user and as a script runs it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::command::{Said, client, run};
use crate::harness::files::{HEADER, csv, line, lines, write};
use crate::harness::process::{signal, until};
use crate::harness::server::Server;

const KEY: &str = "a-key-for-the-tests-only";

/// `roundhouse upload`.
fn command(server: &str, key: &str, arguments: &[&str]) -> Command {
    client("upload", server, key, arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_and_the_text_report_the_result_of_each_file() {
    let server = Server::start(&["--api-key", KEY]).await;
    let api = server.addresses.api.clone();
    let directory = TempDir::new().unwrap();
    let good = write(&directory, "good.csv", &csv(0..500));
    let bad = write(
        &directory,
        "bad.csv",
        &format!("{HEADER}\n{}{}{}", lines(500..503), line(503, "12.5x"), lines(504..506)),
    );
    let none = write(&directory, "none.csv", "nothing of ours\n");

    // Only the summary, and no progress bar: standard error is not a terminal.
    let said = run(command(&api, KEY, &[&good])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.starts_with(&format!("{good}: visible in the aggregates after ")), "{said:?}");
    assert!(said.stdout.contains("  500 rows: 500 accepted, 0 rejected"), "{said:?}");
    let said = run(command(&api, KEY, &[&good])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("already uploaded"), "{said:?}");

    let said = run(command(&api, KEY, &["--wait", "acknowledged", &bad])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.stdout.contains("6 rows: 5 accepted, 1 rejected"), "{said:?}");
    let reject = "line 5, real_amount_bet: not a decimal number";
    assert!(said.stdout.contains(reject) && said.stdout.contains(r#"(not_a_decimal): "12.5x""#), "{said:?}");

    // A file that fails does not stop the others. The exit code is that of the worst.
    let missing = directory.path().join("missing.csv").to_str().unwrap().to_owned();
    let folder = directory.path().to_str().unwrap().to_owned();
    let said = run(command(&api, KEY, &["--json", "--force", &missing, &none, &folder, &bad, &good])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let answers: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3, "{said:?}");
    assert_eq!((&answers[0]["code"], &answers[0]["status"]), (&Value::from("not_csv"), &Value::from(400)));
    assert_eq!(
        (&answers[1]["rejected"], &answers[1]["file_name"]),
        (&Value::from(1), &Value::from("bad.csv"))
    );
    assert_eq!((&answers[2]["accepted"], &answers[2]["state"]), (&Value::from(500), &Value::from("visible")));
    let errors: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(errors.len(), 3, "{said:?}");
    assert!(errors[0].starts_with(&format!("roundhouse: {missing}: cannot be read: ")), "{said:?}");
    assert!(errors[1].starts_with(&format!("roundhouse: {none}: 400 not_csv: ")), "{said:?}");
    assert!(errors[2].starts_with(&format!("roundhouse: {folder}: cannot be read: ")), "{said:?}");

    let said = run(command(&api, KEY, &["--force", "--on-error", "abort", &bad])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("422 row_rejected: line 5: column real_amount_bet"), "{said:?}");
    let unseen = write(&directory, "unseen.csv", &csv(9000..9010));
    let said = run(command(&api, KEY, &["--validate-only", &unseen])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout.contains("checked only") && said.stdout.contains("10 accepted, 0 rejected"),
        "{said:?}"
    );
    let said = run(command(&api, KEY, &["--force", "--max-rejects", "0%", &bad])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("422 too_many_rejects"), "{said:?}");
    let said = run(command(&api, KEY, &["--encoding", "utf-7", &good])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("WHATWG"), "{said:?}");
    let said = run(command(&api, "", &[&good, &bad])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("401 unauthorized") && said.stderr.contains("--api-key"), "{said:?}");
    // A path before the API's own, as a reverse proxy may add it: this server has none.
    let said = run(command(&format!("{api}/some/"), KEY, &[&good])).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("404 no_such_path"), "{said:?}");

    // Rounds that are stored with other values: nothing was rejected, and yet the file is not what is stored.
    let conflicts =
        write(&directory, "conflicts.csv", &format!("{HEADER}\n{}{}", line(1, "7"), line(2, "8")));
    let said = run(command(&api, KEY, &[&conflicts])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    let counts = "  2 rows: 2 accepted, 0 rejected\n  2 accepted: 0 new, 0 already stored, 2 stored with different values\n";
    assert!(said.stdout.contains(counts), "{said:?}");

    let stored = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(stored, "505\t505");
}

/// Writes a file that is compressed by gzip or zstd.
fn compressed(directory: &TempDir, name: &str, text: &str) -> String {
    let bytes = if name.ends_with(".zst") {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    } else {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_file_is_uploaded_and_reconciled_as_it_is() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.clone();
    let directory = TempDir::new().unwrap();
    let gzip = compressed(&directory, "one.csv.gz", &csv(0..500));
    let zstd = compressed(&directory, "two.csv.zst", &csv(500..700));
    // A name that does not say that the file is compressed.
    let unnamed = compressed(&directory, "three.csv", &csv(700..800));
    let said = run(command(&api, "", &["--json", &gzip, &zstd, &unnamed])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    let receipts: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = receipts.iter().map(|receipt| receipt["file_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one.csv", "two.csv", "three.csv"]);
    let accepted: Vec<_> = receipts.iter().map(|receipt| receipt["accepted"].as_u64().unwrap()).collect();
    assert_eq!(accepted, [500, 200, 100]);
    // The same rows without compression are known as the same file.
    let plain = write(&directory, "plain.csv", &csv(0..500));
    let said = run(command(&api, "", &[&plain])).await;
    assert!(said.code == Some(0) && said.stdout.contains("already uploaded"), "{said:?}");

    for file in [&gzip, &zstd] {
        let said = run(client("reconcile", &api, "", &[file])).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.stdout.contains("verdict: match"), "{said:?}");
    }
    let bytes = fs::read(&gzip).unwrap();
    let half = directory.path().join("half.csv.gz");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let said = run(command(&api, "", &[half.to_str().unwrap()])).await;
    assert!(said.code == Some(2) && said.stderr.contains("400 broken_off"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_further_file_is_tried_if_no_server_answers() {
    let directory = TempDir::new().unwrap();
    let good = write(&directory, "good.csv", &csv(0..5));
    // Nothing listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = run(command(&format!("http://127.0.0.1:{port}"), KEY, &[&good, &good])).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
    assert!(said.stderr.contains("roundhouse serve") && said.stderr.contains("--server"), "{said:?}");
    let said = run(command("ftp://127.0.0.1", KEY, &[&good])).await;
    assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{said:?}");
}

/// What a test server does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stub {
    /// It reads nothing for longer than 30 s, after which reqwest gives up by default, and then reads everything.
    Pauses,
    /// It closes the connection.
    Breaks,
    /// It neither answers nor closes the connection.
    IsSilent,
    /// It accepts the file.
    Accepts,
}

const RECEIPT: &str =
    r#"{"state":"acknowledged","rows":1,"accepted":1,"rejected":0,"bytes":1,"encoding":"UTF-8"}"#;

/// Serves one connection for each of these. The kernel's receive buffer is small, so it holds little of a file by itself.
async fn stub(connections: &'static [Stub]) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for behaviour in connections {
            let (mut connection, _) = listener.accept().await.unwrap();
            if matches!(behaviour, Stub::IsSilent) {
                let _ = connection.read_to_end(&mut Vec::new()).await;
                continue;
            }
            connection.read_exact(&mut [0; 1000]).await.unwrap();
            match behaviour {
                Stub::Breaks | Stub::IsSilent => continue,
                Stub::Pauses => tokio::time::sleep(Duration::from_secs(35)).await,
                Stub::Accepts => {}
            }
            // The last chunk of the body.
            let mut end = Vec::new();
            let mut piece = vec![0; 1 << 16];
            while !end.ends_with(b"\r\n0\r\n\r\n") {
                match connection.read(&mut piece).await {
                    Ok(read @ 1..) => end.extend_from_slice(&piece[..read]),
                    _ => break,
                }
                end.drain(..end.len().saturating_sub(16));
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{RECEIPT}",
                RECEIPT.len()
            );
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_a_server_that_reads_nothing_for_a_while() {
    let directory = TempDir::new().unwrap();
    // More than the buffers of both kernels hold.
    let large = write(&directory, "large.csv", &"x".repeat(16 << 20));
    let small = write(&directory, "small.csv", &csv(0..50));
    let server = stub(&[Stub::Pauses, Stub::Accepts]).await;
    let said = run(command(&server, "", &[&large, &small])).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(said.stdout.matches(" 1 accepted").count(), 2, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_fails_one_file_only() {
    let directory = TempDir::new().unwrap();
    let large = write(&directory, "large.csv", &"x".repeat(16 << 20));
    let small = write(&directory, "small.csv", &csv(0..50));
    // After the connection broke, the server is asked what it is.
    let server = stub(&[Stub::Breaks, Stub::IsSilent, Stub::Accepts]).await;
    let said = run(command(&server, "", &[&large, &small])).await;
    assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{said:?}");
    assert!(said.stderr.contains(&format!("{large}: the connection broke after ")), "{said:?}");
    assert!(said.stdout.contains(&format!("{small}: acknowledged by Kafka")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploading_the_file_again_completes_an_interrupted_upload() {
    let server = Server::start(&[]).await;
    let directory = TempDir::new().unwrap();
    let text = csv(0..20_000);
    // A file that ends only when the test closes it.
    let pipe = directory.path().join("pipe.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = spawn(&server, &pipe);
    let mut writer = open_pipe(&pipe).await;
    // After two of the five digits of an id: the part before it would be the id of another round.
    let half = text.find(",12345,").unwrap() + 3;
    writer.write_all(&text.as_bytes()[..half]).unwrap();
    until("rows of it are stored", async || {
        let count = server.clickhouse("SELECT count() FROM game_rounds").await;
        (count.parse::<u64>().unwrap() > 1000).then_some(())
    })
    .await;
    signal(child.id(), "INT");
    until("it has ended", async || child.try_wait().unwrap()).await;
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.stdout.as_str()), (Some(130), ""), "{said:?}");
    assert!(said.stderr.replace(',', "").contains(&format!("interrupted after {half} bytes")), "{said:?}");
    assert!(said.stderr.contains("upload the file again"), "{said:?}");
    drop(writer);

    let whole = write(&directory, "whole.csv", &text);
    let said = run(command(&server.addresses.api, "", &[&whole])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("20,000 rows: 20,000 accepted, 0 rejected"), "{said:?}");
    let stored =
        "SELECT count(), uniqExact(game_instance_id), toString(sum(real_amount_bet)) FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "20000\t20000\t5000");
}

fn spawn(server: &Server, path: &Path) -> Child {
    let mut command = command(&server.addresses.api, "", &[path.to_str().unwrap()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Opens the writing end of a pipe. This waits for a reader.
async fn open_pipe(path: &Path) -> File {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || File::options().write(true).open(path).unwrap()).await.unwrap()
}
