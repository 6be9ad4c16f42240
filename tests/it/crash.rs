//! Kills server, broker and ClickHouse with SIGKILL at random moments while files are uploaded. Every round must count once.
//!
//! The test runs in several passes of kills, during uploads that never pause and are retried until they return 200. After each pass,
//! everything stored is compared with the topic and the files. The files overlap, and some rounds have other values in one file than in
//! another; the order of messages decides which one is stored. `PROPTEST_RNG_SEED` repeats the files, victims and pauses of a run (but
//! not the exact moments, so every run tests something new).
//!
//! The last kill of each pass is aimed at a chunk that is noted and not done: the crash that the loader has to recover from. The test fails if no
//! kill has hit such a chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::harness::aggregates::{assert_same, by_hour};
use crate::harness::expected::{Expected, text};
use crate::harness::files::generate;
use crate::harness::process::{until, until_within};
use crate::harness::seed;
use crate::harness::server::{Http, Server};
use crate::harness::topic::TopicOutcome;

/// Number of passes.
const PASSES: usize = 6;

/// Kills of a pass at random moments, before the aimed one.
const RANDOM_KILLS: usize = 5;

/// Number of concurrent uploads.
const UPLOADERS: usize = 2;

/// Rows of the file from which the small files are cut.
const ROWS: usize = 200_000;

/// Rows of a small file. The start is random, so many rounds are in several files.
const ROWS_OF_A_FILE: Range<usize> = 2_000..20_000;

/// One in this many rows of a small file has another bet than in the other files.
const ROWS_PER_CHANGE: usize = 50;

/// Time between two kills.
const PAUSE_MILLIS: Range<u64> = 0..2_500;

/// Time limit for an upload with everything that may happen: a delivery timeout, two restarts and another attempt.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(240);

/// Time between two attempts to upload a file.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The processes that may be killed.
const VICTIMS: [&str; 3] = ["server", "broker", "clickhouse"];
const SERVER: usize = 0;
const BROKER: usize = 1;
const CLICKHOUSE: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn rounds_and_hours_are_exact_after_every_kill() {
    let seed = seed();
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let directory = TempDir::new().unwrap();
    let mut server = Server::start(&["--delivery-timeout-seconds", "20"]).await;
    let files = Arc::new(Files::new(directory.path(), seed));
    let (address, addresses) = watch::channel(server.addresses.api.clone());
    let mut outcome = TopicOutcome::default();
    let mut kills = Kills::default();
    for pass in 1..=PASSES {
        let uploads = Uploads::start(&files, &addresses);
        for _ in 0..RANDOM_KILLS {
            tokio::time::sleep(Duration::from_millis(dice.random_range(PAUSE_MILLIS))).await;
            kills.kill(&mut server, dice.random_range(0..VICTIMS.len())).await;
            address.send_replace(server.addresses.api.clone());
        }
        until_a_chunk_is_open(&server).await;
        kills.kill(&mut server, pass % 2 * CLICKHOUSE).await;
        address.send_replace(server.addresses.api.clone());
        uploads.finish().await;
        outcome = compare(&server, &files, outcome, pass).await;
        say(&format!("pass {pass} of {PASSES}: exact after {:?} kills of {VICTIMS:?}", kills.by_victim));
    }
    let interrupted = kills.interrupted_chunks(&server).await;
    say(&format!("{}; {interrupted} were noted and not done at a kill", evidence(&server).await));
    let by_victim = kills.by_victim;
    assert!(
        by_victim.iter().sum::<usize>() >= 30 && by_victim.iter().all(|&kills| kills > 0),
        "{by_victim:?}"
    );
    assert!(interrupted > 0, "no kill has hit a chunk that was noted and not done");
}

/// The kills so far.
#[derive(Default)]
struct Kills {
    by_victim: [usize; VICTIMS.len()],
    /// When processes were killed without which a chunk is not completed, in milliseconds since 1970.
    at: Vec<i64>,
}

impl Kills {
    /// Kills a process, and restarts it if nothing else does.
    async fn kill(&mut self, server: &mut Server, victim: usize) {
        self.by_victim[victim] += 1;
        match VICTIMS[victim] {
            "server" => server.kill(),
            part => drop(server.kill_part(part).await),
        }
        if victim != BROKER {
            self.at.push(chrono::Utc::now().timestamp_millis());
        }
        if victim == SERVER {
            server.restart().await;
        }
    }

    /// Returns how many chunks were noted before a kill and done after it.
    async fn interrupted_chunks(&self, server: &Server) -> u64 {
        let sql = format!(
            "SELECT count() FROM (SELECT minIf(toUnixTimestamp64Milli(written_at), state = 'noted') AS noted, \
             minIf(toUnixTimestamp64Milli(written_at), state = 'done') AS done FROM loader_chunks \
             GROUP BY topic, epoch, partition, first_offset) \
             WHERE arrayExists(kill -> noted > 0 AND noted < kill AND kill < done, {:?})",
            self.at
        );
        server.clickhouse(sql).await.parse().expect("a number")
    }
}

/// Waits until the loader has noted a chunk that it has not done yet.
async fn until_a_chunk_is_open(server: &Server) {
    server.until_ready().await;
    let open = "SELECT count() FROM (SELECT 1 FROM loader_chunks WHERE topic = 'staging-bets' \
                GROUP BY epoch, partition, first_offset HAVING countIf(state = 'done') = 0)";
    until("a chunk is noted and not done", async || (server.clickhouse(open).await != "0").then_some(()))
        .await;
}

/// Prints a line at once, bypassing the capture of test output.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "crash: {line}");
}

/// Returns a summary of what was loaded.
async fn evidence(server: &Server) -> String {
    let sql = "SELECT uniqExact(partition, first_offset, last_offset), sum(duplicate), sum(conflict) \
               FROM loader_chunks WHERE topic = 'staging-bets' AND state = 'done'";
    let counts = server.clickhouse(sql).await;
    let [chunks, duplicates, conflicts] = counts.split('\t').collect::<Vec<_>>().try_into().unwrap();
    format!("{chunks} chunks were loaded; {duplicates} messages were duplicates and {conflicts} conflicts")
}

/// Waits until everything uploaded is visible, and compares it with the topic and the files.
async fn compare(server: &Server, files: &Files, mut outcome: TopicOutcome, pass: usize) -> TopicOutcome {
    server.until_ready().await;
    // The loader takes each partition in order: once this file is visible, so is everything before it.
    let last = files.next().await;
    let what = format!("everything of pass {pass} is visible");
    let started = Instant::now();
    let receipt = until_within(UPLOAD_PATIENCE, &what, async || {
        let answer = server.upload(std::fs::read(&last).unwrap(), "wait=visible&force=true").await;
        (answer.status == 200 && answer.body["state"] == "visible").then_some(answer.body)
    })
    .await;
    files.acknowledge(&receipt).await;
    let brokers = server.addresses.kafka_brokers.clone();
    let outcome = tokio::task::spawn_blocking(move || {
        outcome.read(&brokers, "staging-bets");
        outcome
    })
    .await
    .unwrap();
    let uploaded = files.uploaded.lock().await;
    let expected = Expected::of(&uploaded.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    assert!(expected.rounds < expected.rows, "no round is in two files");
    assert_eq!(outcome.rounds(), expected.rounds, "the topic differs from the files");
    let counts = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    let detail =
        || format!("pass {pass}, {} files, {:?} since the last upload", uploaded.len(), started.elapsed());
    assert_eq!(counts, format!("{0}\t{0}", expected.rounds), "{}", detail());
    assert_same(&by_hour(server).await, &outcome.by_hour);
    compare_repeats(server, files, &outcome).await;
    outcome
}

/// Compares duplicates and conflicts with the topic, and the sums of each upload with its answer.
async fn compare_repeats(server: &Server, files: &Files, outcome: &TopicOutcome) {
    let sql = "SELECT toString(upload_id), sum(new), sum(duplicate), sum(conflict) FROM upload_counts FINAL GROUP BY 1";
    let counts = server.clickhouse(sql).await;
    let mut uploads = BTreeMap::new();
    for row in counts.lines() {
        let (upload, counts) = row.split_once('\t').unwrap();
        let counts: Vec<u64> = counts.split('\t').map(|count| count.parse().unwrap()).collect();
        uploads.insert(upload.to_owned(), counts.try_into().unwrap());
    }
    for (upload, counts) in &outcome.uploads {
        assert_eq!(uploads.get(upload), Some(counts), "upload {upload} (left: stored, right: expected)");
    }
    assert_eq!(uploads.len(), outcome.uploads.len());
    for (upload, accepted) in files.acknowledged.lock().await.iter() {
        assert_eq!(uploads[upload].iter().sum::<u64>(), *accepted, "upload {upload}");
    }
    let sql = "SELECT toString(upload_id), line, game_instance_id FROM conflicts FINAL";
    let conflicts = server.clickhouse(sql).await;
    let conflicts: Vec<_> = conflicts.lines().map(conflict).collect();
    assert_eq!(conflicts.len(), outcome.conflicts.len(), "conflicts");
    assert_eq!(conflicts.into_iter().collect::<BTreeSet<_>>(), outcome.conflicts);
    let sql = "SELECT sum(messages), sum(new + duplicate + conflict) FROM \
               (SELECT DISTINCT * EXCEPT written_at FROM loader_chunks WHERE topic = 'staging-bets' AND state = 'done')";
    assert_eq!(server.clickhouse(sql).await, format!("{0}\t{0}", outcome.messages), "the ledger");
}

/// Parses upload, line and id.
fn conflict(row: &str) -> (String, i64, i64) {
    let [upload, line, id] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
    (upload.to_owned(), line.parse().unwrap(), id.parse().unwrap())
}

/// Small files, cut from one large file. A round has the same values in all of them, with a few exceptions.
struct Files {
    directory: PathBuf,
    header: String,
    lines: Vec<String>,
    dice: Mutex<ChaCha8Rng>,
    /// All files returned so far.
    uploaded: Mutex<Vec<PathBuf>>,
    /// The accepted rows of uploads that returned 200.
    acknowledged: Mutex<BTreeMap<String, u64>>,
}

impl Files {
    fn new(directory: &Path, seed: u64) -> Self {
        // Few players and games. There are still many hours, and each has rounds of many files.
        let options =
            ["--rows", &ROWS.to_string(), "--seed", &seed.to_string(), "--players", "40", "--games", "5"];
        let options = [&options[..], &["--encoding", "utf-8"]].concat();
        let whole = text(&generate(&directory.join("all.csv"), &options));
        let mut lines = whole.lines().map(|line| format!("{line}\n"));
        let header = lines.next().expect("a header");
        Self {
            directory: directory.to_owned(),
            header,
            lines: lines.collect(),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(seed + 1)),
            uploaded: Mutex::default(),
            acknowledged: Mutex::default(),
        }
    }

    /// Cuts out the next file.
    async fn next(&self) -> PathBuf {
        let mut dice = self.dice.lock().await;
        let rows = dice.random_range(ROWS_OF_A_FILE);
        let first = dice.random_range(0..self.lines.len() - rows);
        let mut uploaded = self.uploaded.lock().await;
        let path = self.directory.join(format!("{}.csv", uploaded.len()));
        let lines = self.lines[first..first + rows].iter().map(|line| {
            if dice.random_range(0..ROWS_PER_CHANGE) == 0 {
                changed(line, uploaded.len())
            } else {
                line.clone()
            }
        });
        std::fs::write(&path, format!("{}{}", self.header, lines.collect::<String>())).unwrap();
        uploaded.push(path.clone());
        path
    }

    /// Records an upload that returned 200.
    async fn acknowledge(&self, receipt: &Value) {
        let upload = receipt["upload_id"].as_str().unwrap().to_owned();
        self.acknowledged.lock().await.insert(upload, receipt["accepted"].as_u64().unwrap());
    }
}

/// Returns a line with another bet, which is the fifth field; no field before it is quoted.
fn changed(line: &str, bet: usize) -> String {
    let fields: Vec<&str> = line.splitn(6, ',').collect();
    format!("{},{bet},{}", fields[..4].join(","), fields[5])
}

/// Uploads that continue until they are told to finish.
struct Uploads {
    enough: Arc<AtomicBool>,
    uploaders: JoinSet<()>,
}

impl Uploads {
    fn start(files: &Arc<Files>, addresses: &watch::Receiver<String>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut uploaders = JoinSet::new();
        for _ in 0..UPLOADERS {
            let (files, addresses, enough) = (files.clone(), addresses.clone(), enough.clone());
            uploaders.spawn(async move {
                let http = Http::new();
                while !enough.load(Ordering::Relaxed) {
                    let receipt = upload(&http, &addresses, &files.next().await).await;
                    files.acknowledge(&receipt).await;
                }
            });
        }
        Self { enough, uploaders }
    }

    /// Waits until every file that was started is acknowledged.
    async fn finish(self) {
        self.enough.store(true, Ordering::Relaxed);
        self.uploaders.join_all().await;
    }
}

/// Sends a file until it returns 200. Every other answer must allow a retry.
async fn upload(http: &Http, addresses: &watch::Receiver<String>, file: &Path) -> Value {
    let bytes = std::fs::read(file).unwrap();
    let deadline = Instant::now() + UPLOAD_PATIENCE;
    loop {
        let url = format!("{}/uploadcsv", *addresses.borrow());
        match http.try_send(|http| http.post(url).body(bytes.clone())).await {
            Ok(answer) if answer.status == 200 => return answer.body,
            Ok(answer) => assert_eq!(answer.status, 503, "{:#}", answer.body),
            // The server was killed.
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "waited too long until {} was acknowledged", file.display());
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Simulates an engine that was killed after it stored a block's token and before the block was visible.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_whose_token_survived_a_crash_without_their_rows_are_inserted_again() {
    let directory = TempDir::new().unwrap();
    let file = generate(&directory.path().join("file.csv"), &["--rows", "5000", "--players", "20"]);
    let expected = Expected::of(&[&file]);
    let bad_line = b"not a row\n".as_slice();
    let body = [
        &std::fs::read(&file).unwrap()[..],
        &bad_line.iter().flat_map(|&byte| [byte, 0]).collect::<Vec<_>>(),
    ];
    let body = body.concat();
    let chunks = "SELECT count() FROM loader_chunks WHERE state = 'done'";
    // One chunk for each of the four partitions of rounds, and one of rejects. Retry if the machine paused and there are more.
    let mut server =
        until_within(UPLOAD_PATIENCE, "everything is loaded in one chunk per partition", async || {
            let server = Server::start(&[]).await;
            server.upload(body.clone(), "wait=visible").await.ok();
            until_within(UPLOAD_PATIENCE, "the reject is stored", async || {
                (server.clickhouse("SELECT count() FROM rejects").await == "1").then_some(())
            })
            .await;
            (server.clickhouse(chunks).await == "5").then_some(server)
        })
        .await;
    assert_same(&by_hour(&server).await, &expected.by_hour);
    for lost in [
        "ALTER TABLE loader_chunks DELETE WHERE state = 'done'",
        "ALTER TABLE game_rounds DELETE WHERE kafka_partition IN (0, 1)",
        "ALTER TABLE hourly_aggregates DELETE WHERE game_id % 2 = 0",
        "ALTER TABLE rejects DELETE WHERE true",
    ] {
        server.clickhouse(format!("{lost} SETTINGS mutations_sync = 1")).await;
    }
    server.restart().await;
    server.until_ready().await;
    let counts = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(counts, format!("{0}\t{0}", expected.rounds));
    assert_same(&by_hour(&server).await, &expected.by_hour);
    assert_eq!(server.clickhouse("SELECT raw FROM rejects").await, "not a row");
    assert_eq!(server.clickhouse(chunks).await, "5");
}
