//! `timezone`: the zone of times that are written without one.

use serde_json::{Value, json};

use crate::harness::command::{client, run};
use crate::harness::files::HEADER;
use crate::harness::process::until;
use crate::harness::server::Server;

/// Local times of Malta, one with an offset, one that its clocks showed twice, and one that they never showed.
const TIMES: [&str; 6] = [
    "2019-10-22 10:20:41",
    "2019-12-22 10:20:41.5",
    "2019-10-22T08:20:41Z",
    "2019-10-22 10:20:41.1234567 +02:00",
    "2019-10-27 02:30:00",
    "2019-03-31 02:30:00",
];

/// The first four in UTC.
const STORED: &str = "0\t2019-10-22 08:20:41.000\n1\t2019-12-22 09:20:41.500\n2\t2019-10-22 08:20:41.000\n3\t2019-10-22 08:20:41.123";

const SELECT: &str = "SELECT game_instance_id, created_timestamp FROM game_rounds ORDER BY 1";

fn file() -> String {
    let row =
        |(id, time): (usize, &&str)| format!("{time},{id},player,7,0.25,0,0.1,NULL,Book of Ra,Novomatic\n");
    format!("{HEADER}\n{}", TIMES.iter().enumerate().map(row).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn local_times_are_stored_in_utc_and_those_that_are_not_certain_are_rejected() {
    let server = Server::start(&[]).await;
    let by_code = json!({ "ambiguous_time": 1, "nonexistent_time": 1 });
    let seen = server.upload(file(), "validate_only=true&timezone=Europe/Malta").await.ok();
    let receipt = server.upload(file(), "wait=visible&timezone=europe/malta").await.ok();
    for receipt in [&seen, &receipt] {
        assert_eq!((&receipt["accepted"], &receipt["rejects_by_code"]), (&json!(4), &by_code), "{receipt:#}");
        assert_eq!(receipt["timezone"], "Europe/Malta");
        let reason = receipt["rejects"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("+02:00") && reason.contains("+01:00"), "{reason}");
    }
    assert_eq!(server.clickhouse(SELECT).await, STORED);
    let path = receipt["links"]["self"].as_str().unwrap();
    assert_eq!(server.get(path).await.ok()["timezone"], "Europe/Malta");
    let ledger = "SELECT timezone FROM upload_ledger FINAL";
    until("the ledger has the zone", async || {
        (server.clickhouse(ledger).await == "Europe/Malta").then_some(())
    })
    .await;

    // The same bytes in the same zone are known; in another zone they say something else.
    let again = server.upload(file(), "timezone=Europe/Malta").await.ok();
    assert_eq!(
        (&again["state"], &again["upload_id"]),
        (&json!("duplicate"), &receipt["upload_id"]),
        "{again:#}"
    );
    let utc = server.upload(file(), "wait=visible").await.ok();
    assert_eq!(
        (&utc["rejected"], &utc["duplicate"], &utc["conflict"]),
        (&json!(0), &json!(2), &json!(2)),
        "{utc:#}"
    );
    assert!(utc["timezone"].is_null(), "{utc:#}");
    assert_eq!(server.upload(file(), "timezone=UTC").await.ok()["upload_id"], utc["upload_id"]);
    assert_eq!(server.upload(file(), "timezone=auto").await.ok()["upload_id"], utc["upload_id"]);
    for unknown in ["Malta", "%2002:00", "+02:00", "", "Europe/Malta&timezone=UTC"] {
        let query = format!("timezone={unknown}");
        let problem = server.upload(file(), &query).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "timezone");
    }

    // The last two rounds came with the upload in UTC.
    let job = server.reconcile_body(file(), "timezone=Europe/Malta").await;
    let counts = ["matched", "different", "rejected", "unexpected"].map(|member| job[member].clone());
    assert_eq!(
        (counts, &job["timezone"]),
        ([json!(4), json!(0), json!(2), json!(2)], &json!("Europe/Malta")),
        "{job:#}"
    );
    let job = server.reconcile_body(file(), "").await;
    assert_eq!(
        (&job["matched"], &job["different"], &job["timezone"]),
        (&json!(4), &json!(2), &Value::Null),
        "{job:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reads_times_in_the_zone_of_the_upload_or_another_and_commands_take_one() {
    let server = Server::start(&[]).await;
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("malta.csv");
    std::fs::write(&path, file()).unwrap();
    let path = path.to_str().unwrap();
    let command = |name: &str, arguments: &[&str]| client(name, &server.addresses.api, "", arguments);
    let said = run(command("upload", &["--timezone", "Europe/Malta", path])).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(server.clickhouse(SELECT).await, STORED);
    let said = run(command("reconcile", &["--timezone", "Europe/Malta", path])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("4 matched"), "{said:?}");

    let uploads = server.get("/uploads").await.ok();
    let id = uploads["items"][0]["upload_id"].as_str().unwrap().to_owned();
    let replay = async |query: &str| {
        let url = server.url(&format!("/uploads/{id}/replay?{query}"));
        server.send(|http| http.post(url)).await.ok()
    };
    let same = replay("").await;
    assert_eq!((&same["replayed"], &same["timezone"]), (&json!(0), &json!("Europe/Malta")), "{same:#}");
    // The first of the two hours.
    let first = replay("timezone=%2B02:00&code=ambiguous_time&wait=visible").await;
    assert_eq!((&first["replayed"], &first["timezone"]), (&json!(1), &json!("+02:00")), "{first:#}");
    let said = run(command("dlq replay", &["--upload", &id, "--timezone", "+01:00"])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let expected = format!("{STORED}\n4\t2019-10-27 00:30:00.000\n5\t2019-03-31 01:30:00.000");
    until("the last one is stored", async || (server.clickhouse(SELECT).await == expected).then_some(()))
        .await;
}
