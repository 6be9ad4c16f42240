//! A full or almost full disk: the error names it, no acknowledged row is lost, and uploads work again once there is space.

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

use super::{Sending, number, text, until_newest_has};
use crate::harness::files::{csv, lines};
use crate::harness::process::until;
use crate::harness::server::Server;

/// The reserve of a server on a small disk: enough for ClickHouse to load the acknowledged rows.
const RESERVE: u64 = 128 << 20;

async fn disk(server: &Server) -> Value {
    let answer = server.get("/readyz").await;
    answer.body["parts"]["disk"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn less_free_space_than_the_reserve_is_reported_and_no_upload_is_accepted() {
    let full = u64::MAX.to_string();
    let mut server = Server::start(&["--disk-reserve-bytes", &full]).await;
    let problem = server.upload(csv(0..10), "").await.problem(507, "disk_full");
    assert_eq!(number(&problem, "reserve_bytes"), u64::MAX, "{problem:#}");
    assert!(number(&problem, "free_bytes") > 0 && text(&problem, "detail").contains("--disk-reserve-bytes"));
    server.send(|http| http.post(server.url("/reconcile")).body(csv(0..10))).await.problem(507, "disk_full");
    assert_eq!(server.get("/uploads").await.ok()["items"], json!([]));
    assert_eq!(server.get("/reconcile").await.ok()["items"], json!([]));
    // A file that is only checked needs no space, and stored rows can be read.
    server.upload(csv(0..10), "validate_only=true").await.ok();
    server.get("/aggregates").await.ok();

    let problem = server.get("/readyz").await.problem(503, "not_ready");
    let part = &problem["parts"]["disk"];
    assert_eq!((&part["ready"], number(part, "reserve_bytes")), (&json!(false), u64::MAX), "{problem:#}");
    assert!(text(part, "reason").contains("the disk is full"), "{problem:#}");
    assert!(server.metric("roundhouse_disk_free_bytes").await > 0.0);
    assert!(server.metric("roundhouse_disk_reserve_bytes").await > 1e18);

    server.restart_with(&[]).await;
    let part = disk(&server).await;
    assert_eq!((&part["ready"], number(&part, "reserve_bytes")), (&json!(true), 1 << 30), "{part:#}");
    let receipt = server.upload(csv(0..10), "wait=visible").await.ok();
    assert_eq!(receipt["accepted"], 10, "{receipt:#}");
}

/// Fills a disk until so many bytes are free.
fn fill(file: &mut File, free: u64, left: u64) {
    let block = vec![0; 1 << 20];
    for _ in 0..free.saturating_sub(left) >> 20 {
        file.write_all(&block).unwrap();
    }
}

/// Fills a disk to its end.
///
/// The server frees space meanwhile, such as that of a merge that failed. Single bytes would take minutes to fill it, so after a page of
/// them large blocks are written again.
fn fill_to_the_end(file: &mut File) {
    let blocks = [1 << 20, 4096, 1].map(|size| vec![0; size]);
    let mut is_full = || blocks.iter().all(|block| (0..4096).any(|_| file.write_all(block).is_err()));
    assert!((0..1000).any(|_| is_full()), "the server frees space without end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fills_the_disk_is_stopped_and_acknowledged_rows_are_loaded() {
    let reserve = RESERVE.to_string();
    let Some(server) = Server::start_on_disk(&["--disk-reserve-bytes", &reserve], "500m").await else {
        eprintln!("skipped: this user may not mount a file system (unshare -rm)");
        return;
    };
    server.upload(csv(0..1000), "wait=visible").await.ok();
    let ballast = server.mounted_data_dir().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    fill(&mut file, number(&disk(&server).await, "free_bytes"), RESERVE + (6 << 20));

    // Rows until the reserve is reached: about 60 bytes each on the disk.
    let sending = Sending::start(&server, "");
    sending.send(&csv(1000..2000));
    let mut sent = 2000_u64;
    while !sending.answer.is_finished() {
        assert!(sent < 20_000_000, "the disk does not get full");
        if sending.pieces.send(lines(sent..sent + 10_000).into_bytes()).is_err() {
            break;
        }
        sent += 10_000;
        // The client waits for the response: unread pieces are in memory.
        until("the server has read what was sent", async || {
            if sending.answer.is_finished() {
                return Some(());
            }
            let page = server.get("/uploads?limit=1").await.ok();
            (number(page["items"].get(0)?, "rows") + 20_000 >= sent - 1000).then_some(())
        })
        .await;
    }
    let problem = sending.finish().await.problem(507, "disk_full");
    let acknowledged = number(&problem, "acknowledged");
    assert!(acknowledged > 1000 && acknowledged == number(&problem, "accepted"), "{problem:#}");
    assert_eq!(number(&problem, "reserve_bytes"), RESERVE, "{problem:#}");
    let failed = server.get(text(&problem["links"], "self")).await.ok();
    assert_eq!((&failed["state"], &failed["failure"]["code"]), (&json!("failed"), &json!("disk_full")));

    until("what was acknowledged is stored, with the space of the reserve", async || {
        let stored = server.clickhouse("SELECT count() FROM game_rounds").await;
        (stored == (1000 + acknowledged).to_string()).then_some(())
    })
    .await;

    // Now nothing can be written at all.
    fill_to_the_end(&mut file);
    server.upload(csv(0..10), "force=true").await.problem(507, "disk_full");
    assert_eq!(disk(&server).await["ready"], false);
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    server.until_ready().await;
    let receipt = server.upload(csv(0..1000 + acknowledged), "wait=visible").await.ok();
    assert_eq!(number(&receipt, "duplicate"), 1000 + acknowledged, "{receipt:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_on_a_disk_without_a_free_byte_ends_as_disk_full_and_can_be_sent_again() {
    // The smallest reserve: the disk is full before the server notices.
    let reserve = (16 << 20).to_string();
    let Some(server) = Server::start_on_disk(&["--disk-reserve-bytes", &reserve], "700m").await else {
        eprintln!("skipped: this user may not mount a file system (unshare -rm)");
        return;
    };
    let sending = Sending::start(&server, "");
    sending.send(&csv(0..20_000));
    until_newest_has(&server, "acknowledged", 1000).await;
    let ballast = server.mounted_data_dir().join("ballast");
    fill_to_the_end(&mut File::create(&ballast).unwrap());
    sending.send(&lines(20_000..40_000));
    let problem = sending.finish().await.problem(507, "disk_full");
    let acknowledged = number(&problem, "acknowledged");
    std::fs::remove_file(&ballast).unwrap();
    until("what was acknowledged is stored", async || {
        let stored = server.clickhouse("SELECT count() FROM game_rounds").await;
        (stored.parse::<u64>().unwrap() >= acknowledged).then_some(())
    })
    .await;
    server.until_ready().await;
    let receipt = server.upload(csv(0..40_000), "wait=visible").await.ok();
    assert_eq!(number(&receipt, "accepted"), 40_000, "{receipt:#}");
    let stored = "SELECT count(), uniqExact(game_instance_id) FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "40000\t40000");
}
