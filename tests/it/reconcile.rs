//! Reconciliation of files with what is stored, by the library's service and a real ClickHouse.
//!
//! The tests insert rounds directly into `game_rounds`, as the loader would, and compute what a report must say.

mod arrivals;
mod differences;
mod hours;
mod jobs;
mod killed;
mod model;
mod recovery;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse::dataset::{BETS, Dataset};
use roundhouse::disk::Disk;
use roundhouse::owner::owner;
use roundhouse::reconcile::arrivals::Arrivals;
use roundhouse::reconcile::differences::{Kinds, Shape};
use roundhouse::reconcile::report::{Difference, Hours, JobState, JobView, Kind, Phase, Report, Verdict};
use roundhouse::reconcile::{Reconciler, Submission};
use roundhouse::settings::Limits;
use roundhouse::warehouse::client::Warehouse;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::expected::{self, Expected};
use crate::harness::part::Part;
use crate::harness::{files, repository};

/// How long the tests wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

const TOPIC: &str = "staging-bets";

const HEADER: &str = "created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,bonus_amount_bet,\
                      real_amount_win,bonus_amount_win,game_name,provider\n";

/// The ClickHouse that all tests share. Each test has its own database. It ends with the test process.
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
    dataset: Arc<Dataset>,
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
        let warehouse =
            Warehouse::new(&url.parse().unwrap(), None, None, &database, Duration::from_secs(60)).unwrap();
        let bets = [Dataset::read(BETS, &[]).unwrap()];
        warehouse.create_schema(&bets).await.unwrap();
        let bets = warehouse.learn_aggregates(&bets).await.unwrap();
        warehouse.create_differences(&bets).await.unwrap();
        let dataset = Arc::new(bets.into_iter().next().unwrap());
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
            upload_crowded_bytes_per_second: 0,
            stop_grace_seconds: 5,
            max_connections: 512,
            delivery_timeout_seconds: 60,
            producer_queue_mib: 16,
            query_timeout_seconds: 10,
            max_concurrent_queries: 4,
            max_latest_bytes: 1 << 20,
            max_query_rows: 100_000_000,
            max_running_reconciliations: 1,
            max_waiting_reconciliations: 10,
            reconcile_spool_bytes: 1 << 30,
            disk_reserve_bytes: 0,
        };
        let nothing = Arrivals::new(TOPIC, Duration::ZERO, || Box::pin(async { Ok(BTreeMap::new()) }));
        Self { warehouse, dataset, spool: TempDir::new().unwrap(), limits, arrivals: nothing }
    }

    fn reconciler(&self) -> Arc<Reconciler> {
        self.reconciler_in(self.spool.path())
    }

    fn reconciler_in(&self, spool: &Path) -> Arc<Reconciler> {
        // Each directory is one server, across restarts.
        let owner = owner(&spool.join("owner")).unwrap();
        let (warehouse, arrivals) = (self.warehouse.clone(), self.arrivals.clone());
        let reconciler = Reconciler::new(
            owner,
            warehouse,
            arrivals,
            Arc::clone(&self.dataset),
            &self.limits,
            spool,
            Disk::new(spool, 0),
        );
        Arc::new(reconciler.unwrap())
    }

    /// Reconciles a file with what is stored now.
    async fn reconcile(&self, file: impl Into<Vec<u8>>) -> JobView {
        self.reconcile_as(Submission::default(), file).await
    }

    async fn reconcile_as(&self, submission: Submission, file: impl Into<Vec<u8>>) -> JobView {
        let reconciler = self.reconciler();
        let stop = CancellationToken::new();
        let running = Arc::clone(&reconciler).run(stop.clone());
        let id = submit_as(&reconciler, submission, file).await;
        let view = end(&reconciler, id).await;
        stop.cancel();
        running.await.unwrap();
        view
    }

    /// Returns all differences that a job found.
    async fn differences(&self, reconciler: &Reconciler, id: Uuid) -> Vec<Difference> {
        let differences = reconciler.differences(id).await.unwrap().expect("a list");
        let mut cursor = differences.fetch(Kinds::ALL).unwrap();
        let shape = Shape::new(reconciler.dataset());
        let mut found = Vec::new();
        while let Some(row) = cursor.next().await.unwrap() {
            found.push(shape.difference(row).expect("a known kind"));
        }
        found
    }

    /// Counts the tables of jobs and the differences of attempts that do not count, and waits a while for them to be removed.
    async fn left_over(&self) -> (u64, u64) {
        let tables = "SELECT count() FROM system.tables WHERE database = currentDatabase() \
             AND name LIKE 'reconcile\\_%s\\_%' AND name != 'reconcile_jobs'";
        let differences = "SELECT count() FROM reconcile_differences WHERE (toString(job_id), toString(attempt)) \
             NOT IN (SELECT id, attempt FROM reconcile_jobs FINAL WHERE state = 'done')";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = (self.number(tables).await, self.number(differences).await);
            if left == (0, 0) || Instant::now() > deadline {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn report(&self, file: impl Into<Vec<u8>>) -> Report {
        let view = self.reconcile(file).await;
        assert_eq!(view.state, JobState::Done, "{view:?}");
        let report = view.report.unwrap();
        assert!(report.adds_up(), "{report:?}");
        report
    }

    async fn execute(&self, sql: &str) {
        // Mutations are awaited.
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

    /// Stores rounds. Marked rounds came with an upload, on the line of their id plus 1,000.
    async fn store_from(&self, rounds: &[(Round, bool)], upload: Uuid) {
        for (round, is_from_it) in rounds {
            let csv = round.csv("\\N");
            let origin =
                if *is_from_it { format!("{upload},{}", round.id + 1000) } else { "\\N,\\N".to_owned() };
            let sql = format!("INSERT INTO game_rounds ({},upload_id,line) FORMAT CSV", HEADER.trim_end());
            self.warehouse
                .insert_rows(&sql, Bytes::from(format!("{},{origin}\n", csv.trim_end())))
                .await
                .unwrap();
        }
    }

    async fn insert(&self, csv: String) {
        let names = HEADER.trim_end();
        let sql = format!("INSERT INTO game_rounds ({names}) FORMAT CSV");
        self.warehouse.insert_rows(&sql, Bytes::from(csv)).await.unwrap();
    }

    /// Stores the rows of a generated file. ClickHouse reads them, not the code under test.
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
    submit_as(reconciler, Submission::default(), file).await
}

async fn submit_as(reconciler: &Arc<Reconciler>, submission: Submission, file: impl Into<Vec<u8>>) -> Uuid {
    let file = file.into();
    let pieces: Vec<_> =
        file.chunks(100_000).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let body = futures_util::stream::iter(pieces);
    let submission = Submission { file_name: "rounds.csv".to_owned(), ..submission };
    reconciler.submit(submission, body).await.unwrap().id
}

/// Waits until a job satisfies a condition.
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
    wait_for(reconciler, id, |view| view.state.is_end()).await
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

    /// Its line of CSV. `null` stands for a missing amount.
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
    let options = ["--players", "2000", "--rows", &rows.to_string()];
    files::generate(&directory.path().join("generated.csv"), &options)
}

/// The lines of the differences of one kind in the sample.
fn lines(report: &Report, kind: Kind) -> Vec<u64> {
    report.sample.iter().filter(|row| row.kind == kind).filter_map(|row| row.line).collect()
}
