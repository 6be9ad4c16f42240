//! The ledger of an upload, from its first byte to its last round.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{Sending, assert_sums, number, text};
use crate::harness::files::{HEADER, csv, line, lines};
use crate::harness::process::{signal, until};
use crate::harness::server::Server;

/// Returns the newest upload.
async fn newest(server: &Server) -> Option<Value> {
    let page = server.get("/uploads?limit=1").await.ok();
    page["items"].as_array().unwrap().first().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_moves_from_receiving_to_visible_and_its_sums_add_up() {
    let server = Server::start(&[]).await;
    let sending = Sending::start(&server, "name=half.csv");
    sending.send(&csv(0..20_000));
    let receiving = until("the first half is counted", async || {
        let upload = newest(&server).await?;
        (number(&upload, "rows") > 10_000).then_some(upload)
    })
    .await;
    assert_eq!((text(&receiving, "state"), text(&receiving, "file_name")), ("receiving", "half.csv"));
    let progress = &receiving["progress"];
    assert_eq!(progress["rows"], receiving["rows"]);
    assert!(number(progress, "bytes") > 500_000 && number(progress, "rows_per_second") > 0, "{progress}");
    assert_eq!((&receiving["encoding"], &receiving["delimiter"]), (&json!("UTF-8"), &json!(",")));
    assert!(receiving["failure"].is_null() && receiving["new"].is_null(), "{receiving:#}");
    assert_sums(&receiving);

    sending.send(&format!("{}not a row\n", lines(19_990..20_100)));
    let receipt = sending.finish().await.ok();
    assert_eq!((&receipt["state"], &receipt["upload_id"]), (&json!("acknowledged"), &receiving["upload_id"]));
    assert_eq!(receipt["rejects_by_code"], json!({ "wrong_number_of_fields": 1 }), "{receipt:#}");
    assert_sums(&receipt);
    let path = text(&receipt["links"], "self").to_owned();
    let visible = until("it is visible", async || {
        let upload = server.get(&path).await.ok();
        assert_sums(&upload);
        match text(&upload, "state") {
            "visible" => Some(upload),
            state => {
                assert_eq!(state, "acknowledged");
                None
            }
        }
    })
    .await;
    assert_eq!(visible["offsets"], receipt["offsets"]);
    assert_eq!(visible["columns"]["user_id"], json!({ "name": "user_id", "position": 3 }));
    assert_eq!((number(&visible, "new"), number(&visible, "duplicate")), (20_100, 10), "{visible:#}");

    let again = server.upload(csv(0..10), "").await.ok();
    let page = server.get("/uploads?limit=1").await.ok();
    assert_eq!(page["items"][0]["upload_id"], again["upload_id"]);
    let page = server.get(text(&page["links"], "next")).await.ok();
    assert_eq!(page["items"][0]["upload_id"], visible["upload_id"]);
    assert!(page["links"]["next"].is_null() && page["page"]["next_cursor"].is_null(), "{page:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_or_whose_server_is_killed_fails_and_can_be_sent_again() {
    let mut server = Server::start(&[]).await;
    let whole = csv(0..30_000);
    let mut broken = server.open_upload(whole.len()).await;
    broken.write_all(&whole.as_bytes()[..whole.len() / 2]).await.unwrap();
    until("the first half is under way", async || newest(&server).await).await;
    drop(broken);
    let failed =
        until("it has failed", async || newest(&server).await.filter(|upload| upload["state"] == "failed"))
            .await;
    assert_eq!(failed["failure"]["code"], "broken_off", "{failed:#}");
    assert!(number(&failed, "rows") > 10_000 && failed["acknowledged"] == failed["accepted"], "{failed:#}");
    assert_sums(&failed);

    let sending = Sending::start(&server, "force=true&name=killed.csv");
    sending.send(&csv(0..20_000));
    let killed = until("rows of the next are noted in ClickHouse", async || {
        let sql =
            "SELECT upload_id FROM upload_ledger WHERE file_name = 'killed.csv' AND rows > 10000 LIMIT 1";
        let id = server.clickhouse(sql).await;
        (!id.is_empty()).then_some(id)
    })
    .await;
    // The client goes on sending until the server is killed: otherwise its upload could be noted as broken off.
    server.restart().await;
    sending.answer.abort();
    let failed = until("the killed one has failed", async || {
        let upload = server.get(&format!("/uploads/{killed}")).await.ok();
        (upload["state"] == "failed").then_some(upload)
    })
    .await;
    assert_eq!(failed["failure"], json!({ "code": "server_stopped", "reason": "the server was stopped" }));
    assert!(number(&failed, "rows") > 10_000, "{failed:#}");

    // A file whose upload failed is not a duplicate; a file whose upload succeeded is.
    let receipt = server.upload(whole.clone(), "wait=visible").await.ok();
    assert_eq!(receipt["state"], "visible", "{receipt:#}");
    assert_sums(&receipt);
    assert_eq!(
        server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await,
        "30000\t30000"
    );
    let again = server.upload(whole, "wait=visible").await.ok();
    assert_eq!((&again["state"], &again["upload_id"]), (&json!("duplicate"), &receipt["upload_id"]));
    for member in ["rows", "accepted", "new", "duplicate", "conflict", "columns", "offsets"] {
        assert_eq!(again[member], receipt[member], "{member}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_exact_under_overlap_repetition_and_concurrency() {
    let server = Server::start(&[]).await;
    let counts = |receipt: &Value| {
        assert_eq!(receipt["state"], "visible", "{receipt:#}");
        assert_sums(receipt);
        ["new", "duplicate", "conflict"].map(|member| number(receipt, member))
    };
    let first = server.upload(csv(0..5000), "wait=visible").await.ok();
    assert_eq!(counts(&first), [5000, 0, 0]);
    // 2,000 rounds of the first file, 10 of them with another bet, and one of them twice.
    let other: String = (3000..3010).map(|id| line(id, "7")).collect();
    let text = format!("{HEADER}\n{other}{}{}", lines(3010..8000), lines(7999..8000));
    let overlap = server.upload(text, "wait=visible").await.ok();
    assert_eq!(counts(&overlap), [3000, 1991, 10]);
    let forced = server.upload(csv(0..5000), "wait=visible&force=true").await.ok();
    assert_eq!(counts(&forced), [0, 5000, 0]);

    let same = csv(100_000..120_000);
    let together = (0..4).map(|_| server.upload(same.clone(), "wait=visible&force=true"));
    let receipts: Vec<Value> =
        futures_util::future::join_all(together).await.into_iter().map(|answer| answer.ok()).collect();
    let sums: Vec<[u64; 3]> = receipts.iter().map(counts).collect();
    assert_eq!(sums.iter().map(|sums| sums[0]).sum::<u64>(), 20_000, "{sums:?}");
    assert_eq!(sums.iter().map(|sums| sums[1]).sum::<u64>(), 60_000, "{sums:?}");
    // The receipts have not changed.
    let again = server.get(super::text(&overlap["links"], "self")).await.ok();
    assert_eq!(counts(&again), [3000, 1991, 10]);
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "28000");
    let traced =
        format!("SELECT count() FROM game_rounds WHERE upload_id = '{}'", super::text(&overlap, "upload_id"));
    assert_eq!(server.clickhouse(traced).await, "3000");

    let conflicts =
        server.get(&format!("{}?format=ndjson", super::text(&overlap["links"], "conflicts"))).await;
    assert_eq!(conflicts.headers["content-type"], "application/x-ndjson");
    let listed = conflicts.body.as_str().unwrap();
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(listed.lines().count(), 10);
    assert_eq!((&first["line"], &first["game_instance_id"]), (&json!(2), &json!(3000)), "{first:#}");
    assert_eq!((&first["real_amount_bet"], &first["stored_real_amount_bet"]), (&json!("7"), &json!("0.25")));
    let csv = server.get(super::text(&overlap["links"], "conflicts")).await;
    assert_eq!(csv.body.as_str().unwrap().lines().count(), 11);
    let none = server.get(super::text(&forced["links"], "conflicts")).await;
    assert_eq!(none.body.as_str().unwrap().lines().count(), 1, "{:#}", none.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_continues_without_clickhouse_and_is_in_the_ledger_when_it_is_back() {
    let server = Server::start(&[]).await;
    let pid = server.part("clickhouse").unwrap();
    signal(pid, "STOP");
    let receipt = server.upload(csv(0..1000), "").await.ok();
    assert_eq!(receipt["state"], "acknowledged");
    signal(pid, "CONT");
    let path = text(&receipt["links"], "self").to_owned();
    let sql =
        format!("SELECT state FROM upload_ledger FINAL WHERE upload_id = '{}'", text(&receipt, "upload_id"));
    until("ClickHouse has it", async || {
        (server.clickhouse(sql.as_str()).await == "acknowledged").then_some(())
    })
    .await;
    until("it is visible", async || (server.get(&path).await.ok()["state"] == "visible").then_some(())).await;
    let again = server.upload(csv(0..1000), "").await.ok();
    assert_eq!(again["state"], "duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_acknowledged_without_clickhouse_is_known_after_a_crash() {
    let mut server = Server::start(&[]).await;
    let clickhouse = server.part("clickhouse").unwrap();
    signal(clickhouse, "STOP");
    let (first, second) =
        futures_util::future::join(server.upload(csv(0..1000), ""), server.upload(csv(1000..1500), "")).await;
    let acknowledged = [first.ok(), second.ok()];
    // The server is killed just before or just after it has answered the third.
    let Sending { pieces, answer } = Sending::start(&server, "name=third.csv");
    pieces.send(csv(1500..1600).into_bytes()).unwrap();
    drop(pieces);
    let journal = server.data_dir().join("uploads.journal");
    until("the third is on disk as acknowledged", async || {
        let text = std::fs::read_to_string(&journal).ok()?;
        let is_it = |line: &&str| line.contains("third.csv") && line.contains(r#""state":"acknowledged""#);
        text.lines().find(is_it).map(drop)
    })
    .await;
    server.kill();
    answer.abort();
    // ClickHouse is stopped, so it does not notice that its server is gone.
    signal(clickhouse, "KILL");
    let mut file = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut file, b"0123456789abcdef {\"upload_id\":\"").unwrap();

    server.restart().await;
    let mut paths: Vec<String> =
        acknowledged.iter().map(|receipt| text(&receipt["links"], "self").to_owned()).collect();
    let third = newest(&server).await.unwrap();
    assert_eq!((text(&third, "file_name"), number(&third, "acknowledged")), ("third.csv", 100), "{third:#}");
    paths.push(text(&third["links"], "self").to_owned());
    for path in &paths {
        until("it is visible", async || (server.get(path).await.ok()["state"] == "visible").then_some(()))
            .await;
    }
    for (rows, path) in [(0..1000, &paths[0]), (1000..1500, &paths[1]), (1500..1600, &paths[2])] {
        let again = server.upload(csv(rows), "").await.ok();
        assert_eq!(
            (&again["state"], &again["links"]["self"]),
            (&json!("duplicate"), &json!(path)),
            "{again:#}"
        );
    }
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "1600");
    until("ClickHouse has all of them", async || {
        (std::fs::metadata(&journal).unwrap().len() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_return_404_and_bad_parameters_are_named() {
    let server = Server::start(&[]).await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    for path in ["", "/rejects", "/conflicts"] {
        server.get(&format!("/uploads/{nobody}{path}")).await.problem(404, "no_such_upload");
        server.get(&format!("/uploads/x{path}")).await.problem(404, "no_such_upload");
    }
    let replay = |id: &str| server.url(&format!("/uploads/{id}/replay"));
    server.send(|http| http.post(replay(nobody))).await.problem(404, "no_such_upload");
    for (path, parameter) in [
        ("/uploads?limit=0", "limit"),
        ("/uploads?limit=1001", "limit"),
        ("/uploads?cursor=x", "cursor"),
        ("/uploads?x=1", "x"),
        ("/uploads/x?x=1", "x"),
        ("/uploads/x/rejects?format=xml", "format"),
        ("/uploads/x/rejects?code=No", "code"),
        ("/uploads/x/rejects?replayed=maybe", "replayed"),
        ("/uploads/x/rejects?escape_formulas=2", "escape_formulas"),
        ("/uploads/x/conflicts?code=x", "code"),
    ] {
        let problem = server.get(path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{path}");
    }
    for (query, parameter) in [
        ("max_rejects=x", "max_rejects"),
        ("max_rejects=101%25", "max_rejects"),
        ("validate_only=yes", "validate_only"),
        ("validate_only=true&wait=visible", "wait"),
        ("validate_only=true&force=true", "force"),
        ("on_error=stop", "on_error"),
        ("wait=1", "wait"),
    ] {
        let problem = server.upload(csv(0..1), query).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{query}");
    }
    assert_eq!(server.get("/uploads").await.ok()["items"], json!([]));
}
