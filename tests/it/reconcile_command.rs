//! `roundhouse reconcile`, run as a user and as a script runs it.

use std::fs;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::{Said, client, run};
use crate::harness::files::{HEADER, csv, line, lines, write};
use crate::harness::process::{signal, until};
use crate::harness::server::Server;

const KEY: &str = "a-key-for-the-tests-only";

async fn reconcile(server: &str, key: &str, arguments: &[&str]) -> Said {
    run(client("reconcile", server, key, arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_and_the_table_say_whether_the_file_is_stored() {
    let server = Server::start(&["--api-key", KEY]).await;
    let api = server.addresses.api.clone();
    let directory = TempDir::new().unwrap();
    let stored = csv(0..500);
    server
        .send(|http| http.post(server.url("/uploadcsv?wait=visible")).bearer_auth(KEY).body(stored.clone()))
        .await
        .ok();
    let same = write(&directory, "same.csv", &stored);
    let said = reconcile(&api, KEY, &[&same]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.starts_with(&format!("{same}: reconciliation ")), "{said:?}");
    assert!(
        said.stdout.contains("verdict: match\n  500 rows: 500 matched, 0 missing, 0 different"),
        "{said:?}"
    );
    assert!(!said.stdout.contains("│"), "{said:?}");

    let other = format!("{HEADER}\n{}{}{}", lines(0..10), line(10, "0.5"), lines(900..930));
    let other = write(&directory, "other.csv", &other);
    let said = reconcile(&api, KEY, &[&other]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.stdout.contains("verdict: mismatch\n  41 rows: 10 matched, 30 missing, 1 different"),
        "{said:?}"
    );
    assert!(said.stdout.contains("real_amount_bet: 0.5 in the file, 0.25 stored"), "{said:?}");
    assert!(said.stdout.contains("More differences exist: use --differences all"), "{said:?}");
    let shown = |said: &Said| said.stdout.lines().filter(|line| line.contains(" missing ")).count();
    assert_eq!(shown(&said), 19, "{said:?}");
    let said = reconcile(&api, KEY, &["--differences", "all", &other]).await;
    assert_eq!(shown(&said), 30, "{said:?}");
    let said = reconcile(&api, KEY, &["--differences", "0", &other]).await;
    assert!(said.code == Some(1) && !said.stdout.contains("│"), "{said:?}");

    let said = reconcile(&api, KEY, &["--json", &other]).await;
    assert_eq!((said.code, said.stderr.as_str(), said.stdout.lines().count()), (Some(1), "", 1), "{said:?}");
    let job: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(job["repair"].is_null(), "{job}");
    let path = job["links"]["self"].as_str().unwrap();
    let shown = server.send(|http| http.get(server.url(path)).bearer_auth(KEY)).await.ok();
    assert_eq!(job, shown);
    assert_eq!((&job["verdict"], &job["file_name"]), (&Value::from("mismatch"), &Value::from("other.csv")));

    // A dry run changes nothing, whatever it is asked for.
    let before = server.clickhouse("SELECT count(), sum(cityHash64(*)) FROM game_rounds").await;
    let said = reconcile(&api, KEY, &["--repair", "--dry-run", "--prefer", "file", &other]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.stdout.contains("30 rounds produced, 1 overwritten, 0 removed"), "{said:?}");
    let cells = |start: &str| {
        let row = said.stdout.lines().find(|line| line.starts_with(start)).expect("a row").to_owned();
        row.split(['│', '┆']).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cells("│ 12")[1..6], ["12", "10", "real_amount_bet", "0.25", "0.5"]);
    assert_eq!(cells("│ real_amount_bet")[2..6], ["7.5", "0", "0.25", "0.5"]);
    let said = reconcile(&api, KEY, &["--repair", "--dry-run", "--json", &other]).await;
    let preview: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &preview["preview"]["unchanged"]["different"]), (Some(1), &1.into()), "{said:?}");
    let said = reconcile(&api, KEY, &["--repair", "--dry-run", &same]).await;
    assert!(said.code == Some(0) && said.stdout.contains("verdict: match"), "{said:?}");
    assert!(said.stdout.ends_with("  dry run: the repair would change nothing\n"), "{said:?}");
    assert_eq!(server.clickhouse("SELECT count(), sum(cityHash64(*)) FROM game_rounds").await, before);
    let said = reconcile(&api, KEY, &["--repair", &same]).await;
    assert!(said.code == Some(0) && said.stdout.ends_with("  nothing to repair\n"), "{said:?}");

    // Missing rounds are produced. Rounds that differ stay unchanged, unless the file is preferred.
    let said = reconcile(&api, KEY, &["--repair", &other]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.stdout.contains("41 rows: 40 matched, 0 missing, 1 different"), "{said:?}");
    assert!(said.stdout.contains("repair done: 30 rounds produced, 0 overwritten"), "{said:?}");
    assert!(said.stdout.contains("--prefer file gives them"), "{said:?}");
    let said = reconcile(&api, KEY, &["--repair", "--prefer", "file", &other]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.contains("verdict: match") && said.stdout.contains("1 overwritten"), "{said:?}");
    assert!(!said.stdout.contains("--prefer"), "{said:?}");
    let stored =
        server.clickhouse("SELECT real_amount_bet FROM game_rounds WHERE game_instance_id = 10").await;
    assert_eq!(stored, "0.5");

    // Nothing was compared: that is neither a match nor a mismatch, and nothing may be removed because of it.
    let invalid = format!("{HEADER}\n{}{}", line(1, "much"), line(2, "more"));
    let invalid = write(&directory, "invalid.csv", &invalid);
    for arguments in [&[invalid.as_str()][..], &["--repair", "--remove-unexpected", &invalid]] {
        let said = reconcile(&api, KEY, arguments).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
        let verdict =
            "verdict: no_valid_rows; 2 invalid rows were not compared\n  2 rows: 0 matched, 0 missing";
        assert!(said.stdout.contains(verdict), "{said:?}");
        assert!(said.stdout.contains(", 2 invalid\n") && said.stdout.contains("--validate-only"), "{said:?}");
        let id = said.stdout.split_whitespace().nth(2).unwrap();
        let repair = server.url(&format!("/reconcile/{id}/repair?remove=unexpected"));
        server.send(|http| http.post(repair).bearer_auth(KEY)).await.problem(409, "no_valid_rows");
    }

    // Two rows contradict each other: no repair can know which one is right.
    let two = write(&directory, "two.csv", &format!("{HEADER}\n{}{}", line(3, "0.25"), line(3, "7")));
    for arguments in [&[two.as_str()][..], &["--repair", "--prefer", "file", &two]] {
        let said = reconcile(&api, KEY, arguments).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.stdout.contains("verdict: mismatch\n  2 rows: 0 matched, 0 missing"), "{said:?}");
        assert!(said.stdout.contains("2 contradicting other rows of the file"), "{said:?}");
        let says_so = said.stdout.contains("2 rows of the file contradict other rows with the same");
        assert_eq!(says_so, arguments.len() > 1, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_says_how_many_rows_are_invalid_and_which_replay_has_sent_them() {
    let server = Server::start(&[]).await;
    let api = server.addresses.api.clone();
    let directory = TempDir::new().unwrap();
    let file =
        write(&directory, "invalid.csv", &format!("{}{}{}", csv(0..3), line(3, "12.5x"), line(4, "x")));
    let said = reconcile(&api, "", &[&file]).await;
    assert!(said.stdout.contains("verdict: mismatch; 2 invalid rows were not compared\n"), "{said:?}");
    assert!(said.stdout.contains("roundhouse upload --validate-only FILE\n"), "{said:?}");

    let uploaded = run(client("upload", &api, "", &[&file])).await;
    assert_eq!(uploaded.code, Some(1), "{uploaded:?}");
    let job = server.reconcile(std::path::Path::new(&file)).await;
    let upload = job["uploads"][0].as_str().unwrap().to_owned();
    assert!(job["replays"].is_null(), "{job:#}");
    let said = reconcile(&api, "", &[&file]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let verdict = "verdict: match; 2 invalid rows were not compared\n  5 rows: 3 matched, 0 missing";
    assert!(said.stdout.contains(verdict), "{said:?}");
    let hint = format!("  to see and correct the invalid rows: roundhouse rejects {upload}\n");
    assert!(said.stdout.ends_with(&hint), "{said:?}");

    // One row is corrected, then the other. The file itself stays as it is.
    let list = run(client("rejects", &api, "", &["-o", "-", &upload])).await.stdout;
    for (from, to, are_all) in [("12.5x", "12.5", false), (",x,", ",1,", true)] {
        let corrected = write(&directory, "corrected.csv", &list.replace(from, to));
        run(client("dlq replay", &api, "", &["--upload", &upload, "--file", &corrected])).await;
        let said = reconcile(&api, "", &[&file]).await;
        assert!(said.code == Some(0) && said.stdout.contains(verdict), "{said:?}");
        let sent = format!(" has sent 1 rejected row of upload {upload} again\n");
        assert_eq!(said.stdout.matches(&sent).count(), if are_all { 2 } else { 1 }, "{said:?}");
        assert!(said.stdout.contains("the file itself still has its invalid rows"), "{said:?}");
        assert_eq!(said.stdout.contains(&hint), !are_all, "{said:?}");
    }
    let job = server.reconcile(std::path::Path::new(&file)).await;
    assert_eq!(
        (&job["replays"][1]["rows"], &job["replays"][1]["upload_id"]),
        (&1.into(), &upload.into()),
        "{job:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_one_line_and_exit_code_2() {
    let server = Server::start(&["--api-key", KEY]).await;
    let api = server.addresses.api.clone();
    let directory = TempDir::new().unwrap();
    let good = write(&directory, "good.csv", &csv(0..5));
    let none = write(&directory, "none.csv", "nothing of ours\n");
    let folder = directory.path().to_str().unwrap().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("http://127.0.0.1:{port}");
    for (address, key, arguments, text) in [
        (&api, "", &[good.as_str()][..], "401 unauthorized"),
        (&api, KEY, &["missing.csv"], "missing.csv: cannot be read: "),
        (&api, KEY, &[&folder], "cannot be read: "),
        (&api, KEY, &[&none], "none.csv: 400 not_csv: the first line"),
        (&api, KEY, &["--encoding", "utf-7", &good], "--encoding"),
        (&api, KEY, &["--upload-id", "01890a5d-ac96-774b-bcce-b302099a8057", &good], "--upload-id: "),
        (&api, KEY, &["--upload-id", "x", &good], "--upload-id"),
        (&api, KEY, &["--differences", "some", &good], "--differences"),
        (&api, KEY, &["--prefer", "file", &good], "--prefer only says how to repair; add --repair"),
        (&api, KEY, &["--dry-run", &good], "--dry-run only says how to repair; add --repair"),
        (
            &api,
            KEY,
            &["--remove-unexpected", &good],
            "--remove-unexpected only says how to repair; add --repair",
        ),
        (&api, KEY, &[], "FILE"),
        (&away, KEY, &[&good], "roundhouse serve"),
    ] {
        let said = reconcile(address, key, arguments).await;
        assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(text), "{arguments:?}: {said:?}");
    }
    let said = reconcile(&api, "", &["--json", &good]).await;
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["code"], "unauthorized", "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_the_job() {
    // A row that is acknowledged and never loaded: the job waits for it.
    let server = Server::start(&["--loader", "none"]).await;
    server.upload(csv(0..1), "").await.ok();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("many.csv");
    fs::write(&file, csv(0..100)).unwrap();
    let mut command = client("reconcile", &server.addresses.api, "", &[file.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = until("the job runs, and the command has looked at it", async || {
        let looks = r#"roundhouse_request_seconds_count{method="GET",route="/reconcile/{id}",status="200"}"#;
        let has_looked = server.metric(looks).await > 0.0;
        let job = server.get("/reconcile").await.ok()["items"][0].clone();
        (has_looked && job["state"] == "running").then(|| job["id"].as_str().unwrap().to_owned())
    })
    .await;
    signal(child.id(), "INT");
    until("it has ended", async || child.try_wait().unwrap()).await;
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.lines().count()),
        (Some(130), "", 1),
        "{said:?}"
    );
    assert!(
        said.stderr.contains(&format!("many.csv: interrupted; reconciliation {id} is cancelled")),
        "{said:?}"
    );
    assert_eq!(server.get(&format!("/reconcile/{id}")).await.ok()["state"], "cancelled");
}
