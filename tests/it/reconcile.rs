//! Reconciliation of files with what is stored, by the library's own service against a real ClickHouse.
//!
//! Rounds are put straight into `game_rounds`, as the loader would; what a report must say is worked out here.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse::domain::columns::Columns;
use roundhouse::reconcile::Reconciler;
use roundhouse::reconcile::arrivals::Arrivals;
use roundhouse::reconcile::report::{Hours, JobState, JobView, Kind, Report, Verdict};
use roundhouse::settings::Limits;
use roundhouse::warehouse::client::Warehouse;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::expected::{self, Expected};
use crate::harness::part::Part;
use crate::harness::{ROUNDHOUSE, repository};

/// Bound of everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

const TOPIC: &str = "staging-bets";

const HEADER: &str = "created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,bonus_amount_bet,\
                      real_amount_win,bonus_amount_win,game_name,provider\n";

/// The ClickHouse that all tests share, each with a database of its own. It ends with the test process.
fn clickhouse() -> &'static str {
    static SHARED: OnceLock<(TempDir, Part)> = OnceLock::new();
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let (_, part) = SHARED.get_or_init(|| {
            let directory = TempDir::new().unwrap();
            let part = Part::start("clickhouse", directory.path(), &[]);
            (directory, part)
        });
        part.url()
    })
}

/// A database with its tables, and a spool directory.
struct Bench {
    warehouse: Warehouse,
    spool: TempDir,
    limits: Limits,
    arrivals: Arrivals,
}

impl Bench {
    async fn new() -> Self {
        Self::on(clickhouse()).await
    }

    async fn on(url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("reconcile_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let warehouse = Warehouse::new(&url.parse().unwrap(), None, None, &database);
        warehouse.create_schema().await.unwrap();
        let limits = Limits {
            max_upload_bytes: 1 << 30,
            max_line_bytes: 1 << 20,
            max_upload_rows: 1 << 30,
            max_upload_rejects: 1 << 20,
            max_form_files: 100,
            max_concurrent_uploads: 4,
            upload_idle_seconds: 60,
            upload_min_bytes_per_second: 1024,
            upload_grace_seconds: 30,
            delivery_timeout_seconds: 60,
            producer_queue_mib: 16,
            query_timeout_seconds: 10,
            max_concurrent_queries: 4,
            max_query_rows: 100_000_000,
            max_running_reconciliations: 1,
            reconcile_spool_bytes: 1 << 30,
        };
        let nothing = Arrivals::new(TOPIC, Duration::ZERO, || Box::pin(async { Ok(BTreeMap::new()) }));
        Self { warehouse, spool: TempDir::new().unwrap(), limits, arrivals: nothing }
    }

    fn reconciler(&self) -> Arc<Reconciler> {
        self.reconciler_in(self.spool.path())
    }

    fn reconciler_in(&self, spool: &Path) -> Arc<Reconciler> {
        let columns = Arc::new(Columns::parse(include_str!("../../schemas/bets.avsc")).unwrap());
        let (warehouse, arrivals) = (self.warehouse.clone(), self.arrivals.clone());
        let reconciler = Reconciler::new(warehouse, arrivals, columns, &self.limits, spool);
        Arc::new(reconciler.unwrap())
    }

    /// Reconciles a file with what is stored now.
    async fn reconcile(&self, file: impl Into<Vec<u8>>) -> JobView {
        let reconciler = self.reconciler();
        let stop = CancellationToken::new();
        let running = Arc::clone(&reconciler).run(stop.clone());
        let id = submit(&reconciler, file).await;
        let view = end(&reconciler, id).await;
        stop.cancel();
        running.await.unwrap();
        view
    }

    async fn report(&self, file: impl Into<Vec<u8>>) -> Report {
        let view = self.reconcile(file).await;
        assert_eq!(view.state, JobState::Done, "{view:?}");
        let report = view.report.unwrap();
        assert!(report.adds_up(), "{report:?}");
        report
    }

    async fn execute(&self, sql: &str) {
        // Changes of rows are awaited.
        let query = self.warehouse.query(sql).with_setting("mutations_sync", "2");
        query.execute().await.unwrap();
    }

    async fn number(&self, sql: &str) -> u64 {
        self.warehouse.query(sql).fetch_one().await.unwrap()
    }

    /// Stores rounds, through the view that fills the aggregates.
    async fn store(&self, rounds: &[Round]) {
        let csv: String = rounds.iter().map(|round| round.csv("\\N")).collect();
        self.insert(csv).await;
    }

    async fn insert(&self, csv: String) {
        let names = HEADER.trim_end();
        let sql = format!("INSERT INTO game_rounds ({names}) FORMAT CSV");
        self.warehouse.insert_rows(&sql, Bytes::from(csv)).await.unwrap();
    }

    /// Stores the rows of a generated file, read by another reader than ours.
    async fn store_file(&self, file: &Path) {
        let text = expected::text(file);
        let mut csv = csv::Writer::from_writer(Vec::new());
        for record in csv::Reader::from_reader(text.as_bytes()).records() {
            let fields: Vec<String> = record.unwrap().iter().map(stored_form).collect();
            csv.write_record(fields).unwrap();
        }
        self.insert(String::from_utf8(csv.into_inner().unwrap()).unwrap()).await;
    }
}

/// How ClickHouse reads a field of a generated file.
fn stored_form(field: &str) -> String {
    match field {
        "" | "NaN" | "NULL" => "\\N".to_owned(),
        _ => match field.split_once("E-") {
            Some((mantissa, exponent)) if mantissa.parse::<f64>().is_ok() => {
                let digits = mantissa.replace('.', "");
                let zeros = exponent.parse::<usize>().unwrap() - 1;
                format!("0.{}{digits}", "0".repeat(zeros))
            }
            _ => field.to_owned(),
        },
    }
}

async fn submit(reconciler: &Arc<Reconciler>, file: impl Into<Vec<u8>>) -> Uuid {
    let file = file.into();
    let pieces: Vec<_> =
        file.chunks(100_000).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let body = futures_util::stream::iter(pieces);
    reconciler.submit("rounds.csv".to_owned(), None, body).await.unwrap().id
}

/// Waits until a job is as it should be.
async fn wait_for(reconciler: &Reconciler, id: Uuid, is_right: impl Fn(&JobView) -> bool) -> JobView {
    let started = Instant::now();
    loop {
        let view = reconciler.get(id).await;
        match view {
            Ok(Some(view)) if is_right(&view) => return view,
            other => assert!(started.elapsed() < PATIENCE, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn end(reconciler: &Reconciler, id: Uuid) -> JobView {
    wait_for(reconciler, id, |view| matches!(view.state, JobState::Done | JobState::Failed)).await
}

/// A round; amounts in units of 10^-8.
#[derive(Clone, Debug, PartialEq)]
struct Round {
    id: u64,
    hour: u8,
    player: String,
    game: u64,
    amounts: [Option<i64>; 4],
    name: String,
}

impl Round {
    fn new(id: u64) -> Self {
        let amounts = [Some(10_000_000), Some(0), Some(5_000_000), None];
        Self { id, hour: 8, player: "ada".to_owned(), game: 7, amounts, name: "Play'n, \"Gö\"".to_owned() }
    }

    /// Its line, with `null` where there is no amount.
    fn csv(&self, null: &str) -> String {
        let mut line = format!("2019-10-22 {:02}:20:41,{},{},{}", self.hour, self.id, self.player, self.game);
        for amount in self.amounts {
            match amount {
                Some(units) => write!(line, ",{}.{:08}", units / 100_000_000, units % 100_000_000).unwrap(),
                None => write!(line, ",{null}").unwrap(),
            }
        }
        let name = self.name.replace('"', "\"\"");
        writeln!(line, ",\"{name}\",Provider").unwrap();
        line
    }
}

fn file(rounds: &[Round]) -> String {
    format!("{HEADER}{}", lines_of(rounds))
}

fn lines_of(rounds: &[Round]) -> String {
    rounds.iter().map(|round| round.csv("NaN")).collect()
}

fn rounds(ids: impl IntoIterator<Item = u64>) -> Vec<Round> {
    ids.into_iter().map(Round::new).collect()
}

fn generate(directory: &TempDir, rows: u64) -> PathBuf {
    let path = directory.path().join("generated.csv");
    let status = Command::new(ROUNDHOUSE)
        .args(["--log", "error", "generate", "--players", "2000", "--rows", &rows.to_string(), "-o"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

/// Lines of the sample, by kind.
fn lines(report: &Report, kind: Kind) -> Vec<u64> {
    report.sample.iter().filter(|row| row.kind == kind).map(|row| row.line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_stored_matches_row_by_row_and_hour_by_hour() {
    let bench = Bench::new().await;
    let sample = repository().join("data/gamerounds.csv");
    bench.store_file(&sample).await;
    let expected = Expected::of(&[&sample]);
    let view = bench.reconcile(std::fs::read(&sample).unwrap()).await;
    assert_eq!(view.progress, 1.0);
    let report = view.report.unwrap();
    assert_eq!(report.verdict, Verdict::Match, "{report:?}");
    assert_eq!((report.rows, report.matched), (expected.rows, expected.rounds));
    let hours = Hours { checked: expected.by_hour.len() as u64, different: 0, shared: 0 };
    assert_eq!(report.hours, hours);
    assert!(report.sample.is_empty() && report.settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_digit_of_an_amount_and_null_instead_of_zero_are_differences() {
    let bench = Bench::new().await;
    let stored = rounds(1..=4);
    bench.store(&stored).await;
    let mut changed = stored.clone();
    changed[1].amounts[0] = Some(10_000_001);
    changed[2].amounts[1] = None;
    changed[3].amounts[3] = Some(0);
    let report = bench.report(file(&changed)).await;
    assert_eq!(report.verdict, Verdict::Mismatch);
    assert_eq!((report.matched, report.different, report.missing), (1, 3, 0));
    assert_eq!(lines(&report, Kind::Different), [3, 4, 5]);
    let fields = serde_json::to_value(&report.sample).unwrap();
    assert_eq!(
        fields[0]["fields"],
        serde_json::json!({ "real_amount_bet": { "file": "0.10000001", "stored": "0.1" } })
    );
    assert_eq!(
        fields[1]["fields"],
        serde_json::json!({ "bonus_amount_bet": { "file": null, "stored": "0" } })
    );
    assert_eq!(
        fields[2]["fields"],
        serde_json::json!({ "bonus_amount_win": { "file": "0", "stored": null } })
    );
    // Null counts as 0 in an hour; the changed digit does not.
    assert_eq!(report.hours, Hours { checked: 1, different: 1, shared: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_compared() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=5)).await;
    let mut changed = rounds(1..=5);
    changed[0].hour = 9;
    changed[1].player.push('2');
    changed[2].game += 1;
    changed[3].name.push('!');
    let text = file(&changed);
    let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
    let text = format!("{head}\n{}\n", last.replace("Provider", "provider"));
    let report = bench.report(text).await;
    assert_eq!((report.matched, report.different), (0, 5));
    let fields: Vec<Vec<&String>> = report.sample.iter().map(|row| row.fields.keys().collect()).collect();
    assert_eq!(fields, [["created_timestamp"], ["user_id"], ["game_id"], ["game_name"], ["provider"]]);
    let time = &report.sample[0].fields["created_timestamp"];
    assert_eq!(time.file.as_deref(), Some("2019-10-22T09:20:41Z"));
    assert_eq!(time.stored.as_deref(), Some("2019-10-22T08:20:41Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rows_duplicates_and_rejects_are_told_apart_whatever_the_order() {
    let bench = Bench::new().await;
    bench.store(&rounds((1..=40).filter(|id| id % 10 != 0))).await;
    let mut in_file = rounds(1..=40);
    // A repeated row counts for nothing, even one that is not what is stored.
    in_file.push(Round { game: 8, ..Round::new(5) });
    in_file.push(Round::new(6));
    let rejects = ["not,a,row\n", &Round::new(41).csv("x")];
    let in_order = format!("{}{}", file(&in_file), rejects.concat());
    let report = bench.report(in_order).await;
    assert_eq!((report.rows, report.rejected), (44, 2));
    assert_eq!((report.matched, report.missing, report.different, report.duplicate_in_file), (36, 4, 0, 2));
    assert_eq!(lines(&report, Kind::Missing), [11, 21, 31, 41]);
    assert_eq!(lines(&report, Kind::DuplicateInFile), [42, 43]);

    let (last, first) = (in_file.split_off(40), in_file);
    let shuffled: Vec<Round> = (0..40).map(|at| first[at * 27 % 40].clone()).collect();
    let out_of_order = [HEADER, rejects[1], &lines_of(&shuffled), rejects[0], &lines_of(&last)].concat();
    let again = bench.report(out_of_order).await;
    let counts = |report: &Report| Report { sample: Vec::new(), seconds: 0.0, ..report.clone() };
    assert_eq!(counts(&again), counts(&report));
    let ids = |report: &Report| -> BTreeSet<u64> {
        let missing = report.sample.iter().filter(|row| row.kind == Kind::Missing);
        missing.map(|row| row.game_instance_id).collect()
    };
    assert_eq!(ids(&again), BTreeSet::from([10, 20, 30, 40]));
    assert_eq!(ids(&report), ids(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_and_rejects_alone_are_no_mismatch() {
    let bench = Bench::new().await;
    bench.store(&rounds(0..3)).await;
    let report = bench.report(file(&rounds([0, 1, 2, 2, 0])) + "?\n").await;
    assert_eq!((report.verdict, report.matched, report.duplicate_in_file), (Verdict::Match, 3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_was_doubled_or_lost_behind_the_server_s_back_is_found_though_all_rows_match() {
    let bench = Bench::new().await;
    let mut stored = rounds(1..=30);
    for (round, hour) in stored.iter_mut().zip((0..3).cycle()) {
        round.hour = hour;
    }
    bench.store(&stored).await;
    assert_eq!(bench.report(file(&stored)).await.hours, Hours { checked: 3, different: 0, shared: 0 });

    bench
        .execute(
            "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE toHour(created_hour) = 1",
        )
        .await;
    let report = bench.report(file(&stored)).await;
    assert_eq!((report.verdict, report.matched, report.hours.different), (Verdict::Mismatch, 30, 1));

    bench.execute("ALTER TABLE hourly_aggregates DELETE WHERE toHour(created_hour) = 2").await;
    assert_eq!(bench.report(file(&stored)).await.hours, Hours { checked: 3, different: 2, shared: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_shared_with_other_files_is_checked_with_their_rounds() {
    let bench = Bench::new().await;
    let ours = rounds(100..110);
    // Before, between and behind our ids; one of them in another hour.
    let mut others = rounds([5, 99, 110, u64::MAX / 2]);
    others[1].hour = 3;
    bench.store(&ours).await;
    bench.store(&others).await;
    let report = bench.report(file(&ours)).await;
    assert_eq!(report.verdict, Verdict::Match, "{report:?}");
    assert_eq!(report.hours, Hours { checked: 1, different: 0, shared: 1 });

    bench.execute("ALTER TABLE game_rounds DELETE WHERE game_instance_id = 5").await;
    let report = bench.report(file(&ours)).await;
    assert_eq!((report.matched, report.hours.different), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_stored_twice_must_be_right_both_times() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=2)).await;
    bench.store(&[Round { game: 9, ..Round::new(2) }]).await;
    let report = bench.report(file(&rounds(1..=2))).await;
    assert_eq!((report.matched, report.different), (1, 1));
    assert_eq!(report.sample[0].fields.keys().collect::<Vec<_>>(), ["game_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_matches_and_one_that_is_no_csv_fails_with_its_reason() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=3)).await;
    let report = bench.report(HEADER).await;
    assert_eq!((report.verdict, report.rows, report.hours), (Verdict::Match, 0, Hours::default()));
    for (file, reason) in [("", "the file is empty"), ("user_id,game_id\n1,2\n", "the header lacks")] {
        let view = bench.reconcile(file).await;
        assert_eq!(view.state, JobState::Failed);
        assert!(view.reason.unwrap().starts_with(reason));
        assert_eq!(view.report, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_compared_in_several_ranges_of_ids() {
    let bench = Bench::new().await;
    let directory = TempDir::new().unwrap();
    // More than two ranges.
    let path = generate(&directory, 600_000);
    bench.store_file(&path).await;
    bench.execute("ALTER TABLE game_rounds DELETE WHERE game_instance_id % 100000 = 0").await;
    let expected = Expected::of(&[&path]);
    let started = Instant::now();
    let report = bench.report(std::fs::read(&path).unwrap()).await;
    println!("600,000 rows: {:.1} s of {:.1} s", report.seconds, started.elapsed().as_secs_f64());
    assert_eq!((report.rows, report.matched, report.missing), (600_000, 599_994, 6), "{report:?}");
    // The aggregates still hold the deleted rounds, as the file does.
    let hours = Hours { checked: expected.by_hour.len() as u64, different: 0, shared: 0 };
    assert_eq!(report.hours, hours);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_on_their_way_are_waited_for() {
    let mut bench = Bench::new().await;
    // The second partition is empty: nothing of it will ever be noted.
    let watermarks = || async { Ok(BTreeMap::from([(0, (0, 3)), (1, (7, 7))])) };
    bench.arrivals = Arrivals::new(TOPIC, PATIENCE, move || Box::pin(watermarks()));
    bench.execute("INSERT INTO loader_topics (topic, epoch, partitions) VALUES ('staging-bets', 1, 2)").await;
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let id = submit(&reconciler, file(&rounds(1..=3))).await;
    // All of the file is read, and its rows are waited for.
    wait_for(&reconciler, id, |view| view.progress >= 0.69).await;
    bench.store(&rounds(1..=3)).await;
    bench
        .execute(
            "INSERT INTO loader_chunks (topic, epoch, partition, first_offset, last_offset, state) \
             VALUES ('staging-bets', 1, 0, 0, 2, 'noted'), ('staging-bets', 1, 0, 0, 2, 'done')",
        )
        .await;
    let report = end(&reconciler, id).await.report.unwrap();
    assert_eq!((report.verdict, report.settled), (Verdict::Match, true));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_when_not_all_had_arrived() {
    let mut bench = Bench::new().await;
    bench.arrivals =
        Arrivals::new(TOPIC, Duration::ZERO, || Box::pin(async { Ok(BTreeMap::from([(0, (0, 9))])) }));
    let report = bench.report(file(&rounds(1..=2))).await;
    assert_eq!((report.missing, report.settled), (2, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_process_that_died_are_run_again_and_nothing_of_them_is_left() {
    let bench = Bench::new().await;
    bench.store(&rounds(1..=3)).await;
    // A process that took three files, began with one of them, and died.
    let (begun, queued, lost) = {
        let died = bench.reconciler();
        let begun = submit(&died, file(&rounds(1..=3))).await;
        let queued = submit(&died, file(&rounds(1..=4))).await;
        (begun, queued, submit(&died, file(&rounds(1..=5))).await)
    };
    bench
        .execute(&format!(
            "INSERT INTO reconcile_jobs (id, version, owner, state, file_name, encoding, bytes) \
             SELECT id, version + 1, owner, 'running', file_name, encoding, bytes \
             FROM reconcile_jobs WHERE id = '{begun}'"
        ))
        .await;
    for table in ["rows", "hours"] {
        let begun = begun.simple();
        bench
            .execute(&format!(
                "CREATE TABLE reconcile_{table}_{begun} (n UInt8) ENGINE = MergeTree ORDER BY n"
            ))
            .await;
    }
    let spooled = |id: Uuid| bench.spool.path().join(format!("{}.csv", id.simple()));
    std::fs::remove_file(spooled(lost)).unwrap();
    let orphan = spooled(Uuid::now_v7());
    std::fs::write(&orphan, HEADER).unwrap();

    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let report = end(&reconciler, begun).await.report.unwrap();
    assert_eq!((report.verdict, report.matched), (Verdict::Match, 3));
    let report = end(&reconciler, queued).await.report.unwrap();
    assert_eq!((report.verdict, report.missing), (Verdict::Mismatch, 1));
    let view = end(&reconciler, lost).await;
    assert_eq!(view.reason.as_deref(), Some("the file is no longer there, or not whole: send it again"));
    assert!(!orphan.exists() && !spooled(begun).exists() && !spooled(queued).exists());
    let tables = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'reconcile\\_%s\\_%'";
    assert_eq!(bench.number(tables).await, 0);
    stop.cancel();
    running.await.unwrap();
    // A third process knows how they ended.
    assert_eq!(bench.reconciler().get(begun).await.unwrap().unwrap().state, JobState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_server_on_the_same_clickhouse_is_left_alone() {
    let bench = Bench::new().await;
    let other = bench.reconciler();
    let id = submit(&other, file(&rounds(1..=3))).await;
    let elsewhere = TempDir::new().unwrap();
    let ours = bench.reconciler_in(elsewhere.path());
    let stop = CancellationToken::new();
    let running = Arc::clone(&ours).run(stop.clone());
    // By the time that a job of ours is done, recovery is long over.
    let next = submit(&ours, file(&[])).await;
    end(&ours, next).await;
    assert_eq!(ours.get(id).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(ours.get(Uuid::now_v7()).await.unwrap(), None);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_a_clickhouse_that_is_killed_while_it_runs() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("clickhouse", directory.path(), &[]);
    let bench = Bench::on(&part.url()).await;
    let path = generate(&directory, 100_000);
    bench.store_file(&path).await;
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let id = submit(&reconciler, std::fs::read(&path).unwrap()).await;
    wait_for(&reconciler, id, |view| view.progress > 0.3).await;
    part.restart();
    let report = end(&reconciler, id).await.report.unwrap();
    assert_eq!((report.verdict, report.matched), (Verdict::Match, 100_000), "{report:?}");
    stop.cancel();
    running.await.unwrap();
}

/// What a report must say, worked out in memory.
#[derive(Debug, Default, PartialEq)]
struct Model {
    counts: [u64; 4],
    hours: [u64; 3],
}

/// Hour, player and game.
type Key = (u8, String, u64);

fn totals(rounds: &[&Round]) -> BTreeMap<Key, (u64, [i64; 4])> {
    let mut totals: BTreeMap<Key, (u64, [i64; 4])> = BTreeMap::new();
    for round in rounds {
        let total = totals.entry((round.hour, round.player.clone(), round.game)).or_default();
        total.0 += 1;
        for (sum, amount) in total.1.iter_mut().zip(round.amounts) {
            *sum += amount.unwrap_or(0);
        }
    }
    totals
}

fn model(in_file: &[Round], stored: &[Round]) -> Model {
    let mut model = Model::default();
    let mut firsts: BTreeMap<u64, &Round> = BTreeMap::new();
    for round in in_file {
        match (firsts.contains_key(&round.id), stored.iter().find(|stored| stored.id == round.id)) {
            (true, _) => model.counts[3] += 1,
            (false, Some(stored)) if stored == round => model.counts[0] += 1,
            (false, Some(_)) => model.counts[1] += 1,
            (false, None) => model.counts[2] += 1,
        }
        firsts.entry(round.id).or_insert(round);
    }
    let aggregates = totals(&stored.iter().collect::<Vec<_>>());
    let others: Vec<&Round> = stored.iter().filter(|round| !firsts.contains_key(&round.id)).collect();
    let both: Vec<&Round> = firsts.values().copied().chain(others.iter().copied()).collect();
    let (others, both) = (totals(&others), totals(&both));
    for key in totals(&firsts.values().copied().collect::<Vec<_>>()).keys() {
        model.hours[0] += 1;
        model.hours[1] += u64::from(aggregates.get(key) != both.get(key));
        model.hours[2] += u64::from(others.contains_key(key));
    }
    model
}

fn any_round() -> impl Strategy<Value = Round> {
    let amount = proptest::option::of(prop_oneof![Just(0), Just(1), Just(100_000_000)]);
    (0_u64..30, 0_u8..3, "[ab]", 1_u64..3, [amount.clone(), amount.clone(), amount.clone(), amount]).prop_map(
        |(id, hour, player, game, amounts)| Round {
            id,
            hour,
            player,
            game,
            amounts,
            name: "Game".to_owned(),
        },
    )
}

#[test]
fn any_file_against_any_rounds_is_reported_as_worked_out_by_hand() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let rounds = || proptest::collection::vec(any_round(), 0..40);
    let cases = (rounds(), rounds(), proptest::collection::vec(any::<proptest::sample::Index>(), 0..20));
    let outcome = runner.run(&cases, |(mut in_file, stored, equal)| {
        let mut ids = BTreeSet::new();
        let stored: Vec<Round> = stored.into_iter().filter(|round| ids.insert(round.id)).collect();
        if !stored.is_empty() {
            in_file.extend(equal.iter().map(|index| index.get(&stored).clone()));
        }
        let report = runtime.block_on(async {
            let bench = Bench::new().await;
            if !stored.is_empty() {
                bench.store(&stored).await;
            }
            bench.report(file(&in_file)).await
        });
        let found = Model {
            counts: [report.matched, report.different, report.missing, report.duplicate_in_file],
            hours: [report.hours.checked, report.hours.different, report.hours.shared],
        };
        let expected = model(&in_file, &stored);
        let is_match = expected.counts[1] + expected.counts[2] + expected.hours[1] == 0;
        prop_assert_eq!(report.verdict == Verdict::Match, is_match);
        prop_assert_eq!(found, expected);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
