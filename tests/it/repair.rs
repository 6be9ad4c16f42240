//! Tables are damaged directly in ClickHouse. `POST /reconcile` must find exactly that damage, and `POST /reconcile/{id}/repair` must repair it.
//!
//! Afterwards the tables must hold what `harness/expected.rs` computes from the file. A reader in the meantime sees an hour as it was or as
//! it must be.

mod crashes;
mod damage;
mod preview;
mod requests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::harness::aggregates::{Key, assert_same, by_hour, totals};
use crate::harness::expected::{Expected, Totals};
use crate::harness::files::generate;
use crate::harness::process::until;
use crate::harness::server::{Http, Server};

/// Rows of the file: more than one granule of `game_rounds`.
const ROWS: &str = "20000";

/// A server with an uploaded file whose rounds are in few hours.
struct Bench {
    server: Server,
    _directory: TempDir,
    file: PathBuf,
    expected: Expected,
    upload_id: String,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(options: &[&str]) -> Self {
        let server = Server::start(options).await;
        server.until_ready().await;
        let directory = TempDir::new().unwrap();
        let file = generate(
            &directory.path().join("rounds.csv"),
            &["--rows", ROWS, "--players", "40", "--games", "5", "--seed", "7"],
        );
        let expected = Expected::of(&[&file]);
        let upload_id = upload(&server, &file).await;
        Self { server, _directory: directory, file, expected, upload_id }
    }

    /// Ids of stored rounds, by a condition.
    async fn ids(&self, condition: &str) -> Vec<u64> {
        numbers(
            &self
                .server
                .clickhouse(format!("SELECT game_instance_id FROM game_rounds WHERE {condition}"))
                .await,
        )
    }

    /// The key of the hour that a round is in.
    async fn hour_of(&self, id: u64) -> Key {
        let sql = format!(
            "SELECT formatDateTime(toStartOfHour(created_timestamp), '%Y-%m-%dT%H:%i:%SZ', 'UTC'), user_id, game_id \
             FROM game_rounds WHERE game_instance_id = {id} LIMIT 1"
        );
        let row = self.server.clickhouse(sql).await;
        let [hour, player, game] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        (hour.to_owned(), player.to_owned(), game.parse().unwrap())
    }

    /// Reconciles the file and asserts the counts of missing, different and unexpected rounds and of differing hours.
    async fn found(&self, counts: [u64; 4]) -> Value {
        let report = self.server.reconcile(&self.file).await;
        assert_counts(&report, counts);
        report
    }

    /// Repairs the differences of a job, and returns the job afterwards.
    async fn repair(&self, report: &Value, query: &str) -> Value {
        repair(&self.server, report["id"].as_str().unwrap(), query).await
    }

    /// Asserts that everything from the file is stored exactly once and counted in its hours.
    async fn assert_exact(&self) {
        let report = self.found([0; 4]).await;
        assert_eq!(report["verdict"], "match", "{report:#}");
        assert_same(&by_hour(&self.server).await, &self.expected.by_hour);
        let counts =
            self.server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
        assert_eq!(counts, format!("{0}\t{0}", self.expected.rounds));
        assert_nothing_is_left(&self.server).await;
    }
}

async fn upload(server: &Server, file: &Path) -> String {
    let receipt = server.upload(std::fs::read(file).unwrap(), "wait=visible").await.ok();
    assert_eq!(receipt["state"], "visible", "{receipt:#}");
    receipt["upload_id"].as_str().unwrap().to_owned()
}

fn assert_counts(report: &Value, counts: [u64; 4]) {
    assert_eq!(report["state"], "done", "{report:#}");
    let found =
        [&report["missing"], &report["different"], &report["unexpected"], &report["hours"]["different"]];
    assert_eq!(found.map(Value::as_u64), counts.map(Some), "{report:#}");
    let is_match = counts == [0; 4];
    assert_eq!(report["verdict"], if is_match { "match" } else { "mismatch" }, "{report:#}");
    assert_eq!(report["settled"], true, "{report:#}");
}

/// The ids of a job's differences of one kind, in order.
async fn ids_found(server: &Server, report: &Value, kind: &str) -> Vec<u64> {
    let sql = format!(
        "SELECT game_instance_id FROM reconcile_differences WHERE job_id = '{}' AND kind = '{kind}' ORDER BY 1",
        report["id"].as_str().unwrap()
    );
    numbers(&server.clickhouse(sql).await)
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Requests a repair, and returns the job when it is done.
pub async fn repair(server: &Server, id: &str, query: &str) -> Value {
    let asked = server.send(|http| http.post(server.url(&format!("/reconcile/{id}/repair?{query}")))).await;
    assert_eq!(asked.status, 202, "{:#}", asked.body);
    assert_eq!(asked.headers["location"], format!("/reconcile/{id}"));
    ended(server, id).await
}

async fn ended(server: &Server, id: &str) -> Value {
    let job = until("the repair has ended", async || {
        let job = server.get(&format!("/reconcile/{id}")).await.ok();
        matches!(job["repair"]["state"].as_str(), Some("done" | "failed")).then_some(job)
    })
    .await;
    assert_eq!(job["repair"]["state"], "done", "{job:#}");
    job
}

/// Asserts that repairs have left no table, no noted key and no unfinished mutation.
async fn assert_nothing_is_left(server: &Server) {
    for sql in [
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'repair\\_%'",
        "SELECT * FROM reconcile_repair_keys",
        "SELECT command FROM system.mutations WHERE database = currentDatabase() AND NOT is_done",
    ] {
        assert_eq!(server.clickhouse(sql).await, "", "{sql}");
    }
}

/// Changes rows directly in ClickHouse, and waits until that is done.
async fn damage(server: &Server, sql: &str) {
    server.clickhouse(format!("{sql} SETTINGS mutations_sync = 1")).await;
}

/// A client that reads one hour of a player and a game all the time.
struct Reader {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Vec<Option<Totals>>>,
}

impl Reader {
    /// Returns after the first read.
    async fn start(server: &Server, key: &Key) -> Self {
        let (hour, player, game) = key.clone();
        // From the start of the hour to its end, which is exclusive.
        let until = format!("{}:59:59.999Z", &hour[..13]);
        let query = format!("player_id={player}&game_id={game}&date_from={hour}&date_to={until}");
        let url = server.url(&format!("/aggregates?{query}"));
        let (http, key, stop) = (Http::new(), key.clone(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&stop);
        let (has_looked, mut first_look) = tokio::sync::watch::channel(false);
        let reading = tokio::spawn(async move {
            let mut seen: Vec<Option<Totals>> = Vec::new();
            // The last read starts after the stop.
            loop {
                let is_last = is_over.load(Ordering::Relaxed);
                let answer = http.try_send(|http| http.get(&url)).await;
                let Some(answer) = answer.ok().filter(|answer| answer.status == 200) else { continue };
                let now = totals(answer.body["items"].as_array().unwrap()).get(&key).copied();
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                has_looked.send_replace(true);
                if is_last {
                    break;
                }
            }
            seen
        });
        first_look.wait_for(|looked| *looked).await.unwrap();
        Self { stop, reading }
    }

    /// Returns the values that the hour had, in order.
    async fn end(self) -> Vec<Option<Totals>> {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.await.unwrap()
    }
}
