//! Several servers on the same services: whatever happens, one of them loads, and each round counts once.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::Expected;
use crate::harness::files::{csv, generate};
use crate::harness::process::{signal, until, until_within};
use crate::harness::server::Server;
use crate::harness::services::Services;

/// Rows of one file: enough for several batches of the loader.
const ROWS: usize = 60_000;

/// Time limit until an upload is visible, including a takeover.
const PATIENCE: Duration = Duration::from_secs(240);

/// Files with different rounds.
struct Files {
    directory: TempDir,
    given: Vec<PathBuf>,
}

impl Files {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), given: Vec::new() }
    }

    fn next(&mut self) -> Vec<u8> {
        let number = self.given.len();
        let path = self.directory.path().join(format!("{number}.csv"));
        let first = (number * ROWS).to_string();
        let options =
            ["--rows", &ROWS.to_string(), "--first-id", &first, "--players", "50", "--encoding", "utf-8"];
        self.given.push(generate(&path, &options));
        std::fs::read(path).unwrap()
    }

    /// Waits until everything is visible, and asserts that each round is counted once.
    async fn assert_exact(&self, server: &Server) {
        let expected = Expected::of(&self.given.iter().map(PathBuf::as_path).collect::<Vec<&Path>>());
        let counts = "SELECT count(), uniqExact(game_instance_id) FROM game_rounds";
        let loaded = "SELECT sum(messages) FROM (SELECT DISTINCT * EXCEPT written_at FROM loader_chunks \
                      WHERE topic = 'staging-bets' AND state = 'done')";
        until_within(PATIENCE, "every message is loaded", async || {
            (server.clickhouse(loaded).await.parse::<u64>().ok()? >= expected.rows).then_some(())
        })
        .await;
        assert_eq!(server.clickhouse(counts).await, format!("{0}\t{0}", expected.rounds));
        assert_eq!(server.clickhouse(loaded).await, expected.rows.to_string());
        assert_same(&by_hour(server).await, &expected.by_hour);
    }
}

/// Returns what `/readyz` says about the loader. None if the server is not ready.
async fn loader(server: &Server) -> Option<Value> {
    let answer = server.get("/readyz").await;
    (answer.status == 200).then(|| answer.body["parts"]["loader"].clone())
}

async fn is_standby(server: &Server) -> Option<bool> {
    Some(loader(server).await?["reason"].as_str().is_some_and(|reason| reason.starts_with("standby")))
}

async fn until_loading(server: &Server) {
    until("the server loads the topic", async || (is_standby(server).await == Some(false)).then_some(()))
        .await;
}

async fn until_standby(server: &Server) {
    until("the server is standby", async || (is_standby(server).await == Some(true)).then_some(())).await;
}

/// Uploads a file, and retries if the upload is interrupted.
async fn upload(server: &Server, body: Vec<u8>) {
    until("the file is acknowledged", async || {
        (server.upload(body.clone(), "").await.status == 200).then_some(())
    })
    .await;
}

async fn stored_rounds(server: &Server) -> u64 {
    server.clickhouse("SELECT count() FROM game_rounds").await.parse().unwrap()
}

/// Uploads files and waits until the loader has begun to load them: some rounds more than before are stored.
async fn upload_and_wait_for_loading<const N: usize>(server: &Server, bodies: [Vec<u8>; N]) {
    // Counted first: a slow machine may have loaded everything by the end of the last upload.
    let before = stored_rounds(server).await;
    for body in bodies {
        upload(server, body).await;
    }
    until("more rounds are stored", async || (stored_rounds(server).await > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_loads_and_the_other_takes_over_when_it_is_killed_or_stops() {
    let services = Services::start().await;
    let mut files = Files::new();
    let mut first = services.server(&[]).await;
    until_loading(&first).await;
    let mut second = services.server(&[]).await;
    until_standby(&second).await;
    let metric = "roundhouse_loading{loader=\"loader\"}";
    assert_eq!((first.metric(metric).await, second.metric(metric).await), (1.0, 0.0));
    let (one, other) = (files.next(), files.next());
    tokio::join!(upload(&first, one), upload(&second, other));
    files.assert_exact(&second).await;

    // The loading server is killed while it loads.
    upload_and_wait_for_loading(&second, [files.next(), files.next()]).await;
    first.kill();
    until_loading(&second).await;
    files.assert_exact(&second).await;

    // An upgrade with overlap: the old server is told to stop when the new one is ready, and the new one takes over at once.
    let third = services.server(&[]).await;
    until_standby(&third).await;
    upload(&third, files.next()).await;
    assert!(second.stop().await.success());
    until_loading(&third).await;
    upload(&third, files.next()).await;
    files.assert_exact(&third).await;

    // Only the server that loads may do this.
    first.restart().await;
    until_standby(&first).await;
    let job = first.reconcile(&files.given[0]).await;
    let path = format!("/reconcile/{}/repair", job["id"].as_str().unwrap());
    let refused = first.send(|http| http.post(first.url(&path))).await.problem(409, "not_loading");
    let reason = loader(&first).await.unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(refused["owner"].as_str().unwrap()), "{reason}: {refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_frozen_longer_than_its_lease_adds_nothing_when_it_continues() {
    let services = Services::start().await;
    let mut files = Files::new();
    let servers = [services.server(&[]).await, services.server(&[]).await];
    let mut holder = 0;
    until_loading(&servers[0]).await;
    for _ in 0..3 {
        let (frozen, other) = (&servers[holder], &servers[1 - holder]);
        until_standby(other).await;
        upload_and_wait_for_loading(other, [files.next(), files.next()]).await;
        assert!(signal(frozen.pid(), "STOP"));
        until_loading(other).await;
        upload_and_wait_for_loading(other, [files.next()]).await;
        assert!(signal(frozen.pid(), "CONT"));
        upload(other, files.next()).await;
        until_standby(frozen).await;
        files.assert_exact(other).await;
        assert_eq!(is_standby(other).await, Some(false));
        holder = 1 - holder;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_sent_only_in_part_before_a_takeover_is_refused() {
    let server = Server::start(&[]).await;
    server.upload(csv(0..100), "wait=visible").await.ok();
    let generation = "SELECT max(generation) FROM loader_leases WHERE topic = 'staging-bets'";
    let generation: u32 = server.clickhouse(generation).await.parse().unwrap();
    let inbox = "SELECT name FROM system.tables WHERE database = 'game_data' AND name LIKE 'game\\_rounds\\_inbox\\_%' \
                 AND engine = 'Null'";
    let inbox = server.clickhouse(inbox).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (sender, body) = tokio::sync::mpsc::unbounded_channel::<Result<Vec<u8>, std::io::Error>>();
    let body = tokio_stream::wrappers::UnboundedReceiverStream::new(body);
    let url = format!("{}/?database=game_data", server.addresses.clickhouse_url);
    let insert = format!("INSERT INTO {inbox} (game_instance_id, generation) FORMAT TSV\n");
    let rows =
        |ids: Range<u64>| Ok(ids.map(|id| format!("{id}\t{generation}\n")).collect::<String>().into_bytes());
    sender.send(Ok(insert.into_bytes())).unwrap();
    // More than ClickHouse reads ahead before it begins.
    sender.send(rows(1_000..200_000)).unwrap();
    let request = tokio::spawn(client.post(url).body(reqwest::Body::wrap_stream(body)).send());
    let running = format!("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO {inbox}%'");
    until("the insert has begun", async || (server.clickhouse(&running).await == "1").then_some(())).await;
    // Another server takes the topic over.
    let claim = "INSERT INTO loader_leases (generation, topic, owner, process) \
                 SELECT max(generation) + 1, 'staging-bets', 'another', 'another' FROM loader_leases";
    server.clickhouse(claim).await;
    sender.send(rows(200_000..200_001)).unwrap();
    drop(sender);
    let answer = request.await.unwrap().unwrap();
    assert_eq!(answer.status(), 500);
    let text = answer.text().await.unwrap();
    assert!(text.contains("the lease was taken over"), "{text}");
    // The first server finds out by itself, and takes over when the other one gives no sign of life.
    until_standby(&server).await;
    until_loading(&server).await;
    server.upload(csv(100..200), "wait=visible").await.ok();
    assert_eq!(server.clickhouse("SELECT count(), max(game_instance_id) FROM game_rounds").await, "200\t199");
}
