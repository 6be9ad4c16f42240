//! Measures the whole path, embedded, on one machine: from a file to acknowledged rows to aggregates. For comparison, librdkafka alone
//! produces the same messages from memory to the same broker in the same run. `make bench` runs it and prints the tables of
//! docs/BENCHMARKS.md.
//!
//! Environment variables (default):
//! - `ROUNDHOUSE_BENCH_ROWS`: rows per file (2,101,934).
//! - `ROUNDHOUSE_BENCH_ROUNDS`: repetitions (3). With 0 the first part is skipped.
//! - `ROUNDHOUSE_BENCH_LARGE_ROWS`: rows of the file for which memory is measured (10,500,000; 0 skips it).
//! - `ROUNDHOUSE_BENCH_LOADER_ROWS`: rows for the comparison of the loaders (500,000; 0 skips it).
//! - `ROUNDHOUSE_BENCH_AGGREGATE_ROWS`: rows of the larger table of aggregates (20,000,000; 0 skips it).
//! - `ROUNDHOUSE_BENCH_REQUESTS`: how often each request for aggregates is sent (1,000).
//! - `ROUNDHOUSE_BENCH_FORMAT_ROWS`: rows of the files of price events whose formats are compared (1,000,000; 0 skips it).
//! - `ROUNDHOUSE_BENCH_RECONCILE_ROWS`: rows of the reconciled file (2,101,934; 0 skips it).
//! - `ROUNDHOUSE_BENCH_EVENTS_PER_SECOND`: price events that are sent while last values are read (75,000; 0 skips it).
//! - `ROUNDHOUSE_BENCH_EVENT_SECONDS`: for how long (60).
//! - `ROUNDHOUSE_BENCH_PAIRS`: pairs whose last values are read (50,000).

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod aggregates;
mod formats;
#[path = "../../tests/it/harness/mod.rs"]
#[allow(dead_code, unused_imports)]
mod harness;
mod latest;
mod limit;
mod loaders;
mod machine;
#[path = "../prices/mod.rs"]
mod prices;
mod reconcile;
mod single_insert;
mod upload;

use std::collections::BTreeMap;

use harness::server::Server;

use self::limit::{Messages, Provenance};
use self::machine::{Usage, seconds};
use self::upload::Uploaded;

fn main() {
    // Both `cargo test --benches` and `cargo bench` run this; only the latter passes `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

/// Repetitions of a reconciliation.
const RECONCILE_ROUNDS: u64 = 3;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Files with new rounds, one at a time.
#[derive(Debug)]
pub struct Files {
    directory: tempfile::TempDir,
    first_id: u64,
}

impl Files {
    /// Writes the next file over the previous one.
    pub fn next(&mut self, rows: u64) -> std::path::PathBuf {
        let path = self.directory.path().join("rounds.csv");
        machine::generate(&path, rows, self.first_id);
        self.first_id += rows;
        path
    }
}

async fn run() {
    let rows = setting("ROUNDHOUSE_BENCH_ROWS", 2_101_934);
    let rounds = setting("ROUNDHOUSE_BENCH_ROUNDS", 3);
    let large = setting("ROUNDHOUSE_BENCH_LARGE_ROWS", 10_500_000);
    let loader_rows = setting("ROUNDHOUSE_BENCH_LOADER_ROWS", 500_000);
    let reconciled = setting("ROUNDHOUSE_BENCH_RECONCILE_ROWS", 2_101_934);
    let format_rows = setting("ROUNDHOUSE_BENCH_FORMAT_ROWS", 1_000_000);
    let load = latest::Load {
        pairs: setting("ROUNDHOUSE_BENCH_PAIRS", 50_000),
        events_per_second: setting("ROUNDHOUSE_BENCH_EVENTS_PER_SECOND", 75_000),
        seconds: setting("ROUNDHOUSE_BENCH_EVENT_SECONDS", 60),
    };
    let requests = setting("ROUNDHOUSE_BENCH_REQUESTS", 1000);
    let aggregate_rows = setting("ROUNDHOUSE_BENCH_AGGREGATE_ROWS", 20_000_000);
    let mut files = Files { directory: tempfile::tempdir().expect("a directory"), first_id: 20_000 };
    if rounds > 0 {
        whole_way(&mut files, rows, rounds).await;
    }
    if loader_rows > 0 {
        loaders::compare(&mut files, loader_rows).await;
    }
    if large > 0 {
        memory(&mut files, large).await;
    }
    if aggregate_rows > 0 {
        let server = Server::start(&[]).await;
        aggregates::measure(&server, [aggregate_rows / 100, aggregate_rows], requests).await;
    }
    if format_rows > 0 {
        formats::compare(format_rows, 5).await;
    }
    if load.events_per_second > 0 {
        latest::measure(load).await;
    }
    if reconciled > 0 {
        reconcile::compare(&mut files, reconciled, RECONCILE_ROUNDS).await;
    }
}

/// Prints how long a file takes from its first byte to the aggregates.
async fn whole_way(files: &mut Files, rows: u64, rounds: u64) {
    let server = Server::start(&[]).await;
    // Warm up connections, producers and caches.
    upload::upload(&server, &files.next(20_000)).await;

    println!("## End to end, {rows} rows\n");
    let mut uploads = Vec::new();
    let mut limits: BTreeMap<Provenance, Vec<Usage>> = BTreeMap::new();
    let mut inserts = Vec::new();
    for round in 0..rounds {
        let path = files.next(rows);
        for provenance in Provenance::ALL {
            let messages = Messages::read(&path, provenance);
            let topic = format!("bench-{round}-{provenance:?}");
            limits.entry(provenance).or_default().push(limit::produce(&server, &topic, messages).await);
        }
        uploads.push(upload::upload(&server, &path).await);
        let directory = path.parent().expect("a directory");
        inserts.push(single_insert::measure(&server, directory, rows).await);
    }
    report(rows, &uploads, &limits, &inserts);
    println!("Peak memory after it: {}\n", machine::peaks(&server));
}

/// Prints the memory for two files, one ten times as large as the other.
async fn memory(files: &mut Files, large: u64) {
    println!("## Memory against the size of the file\n");
    println!(
        "| rows | MB | acknowledged in | server, peak MB | broker | ClickHouse |\n|---|---|---|---|---|---|"
    );
    for rows in [large / 10, large] {
        let server = Server::start(&[]).await;
        let path = files.next(rows);
        let megabytes = std::fs::metadata(&path).expect("the file").len() as f64 / 1e6;
        let uploaded = upload::upload(&server, &path).await;
        let peak = machine::peak_megabytes(&server);
        println!(
            "| {rows} | {megabytes:.0} | {:.1} s | {:.0} | {:.0} | {:.0} |",
            seconds(uploaded.acknowledged.wall),
            peak["server"],
            peak["broker"],
            peak["clickhouse"]
        );
    }
}

fn report(rows: u64, uploads: &[Uploaded], limits: &BTreeMap<Provenance, Vec<Usage>>, inserts: &[Usage]) {
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let wall = |usages: &[Usage]| median(usages.iter().map(|usage| seconds(usage.wall)).collect());
    let limit = wall(&limits[&Provenance::Fields]);
    println!(
        "| what | s, each run | median | rows/s | of the limit's time | CPU s (client, server, broker, ClickHouse) |"
    );
    println!("|---|---|---|---|---|---|");
    let line = |what: &str, usages: Vec<Usage>| {
        let each: Vec<String> = usages.iter().map(|usage| format!("{:.2}", seconds(usage.wall))).collect();
        let time = wall(&usages);
        let cpu = usages.last().map(Usage::cpu).unwrap_or_default();
        println!(
            "| {what} | {} | {time:.2} | {:.0} | {:.2} | {cpu} |",
            each.join(", "),
            rows as f64 / time,
            time / limit
        );
    };
    for (provenance, usages) in limits {
        line(provenance.describe(), usages.clone());
    }
    line("upload, acknowledged", uploads.iter().map(|upload| upload.acknowledged).collect());
    line("upload, visible in the aggregates", uploads.iter().map(|upload| upload.visible).collect());
    let megabytes = uploads.iter().map(|upload| upload.bytes).max().unwrap_or_default() as f64 / 1e6;
    let acknowledged = wall(&uploads.iter().map(|upload| upload.acknowledged).collect::<Vec<_>>());
    line("one INSERT of the same rows into ClickHouse", inserts.to_vec());
    let behind =
        uploads.iter().map(|upload| seconds(upload.visible.wall) - seconds(upload.acknowledged.wall));
    let behind = median(behind.collect());
    println!(
        "\nThe file: {megabytes:.0} MB, taken at {:.0} MB/s. Visible after the last acknowledgement: {behind:.2} s (median), \
         {:.2} of the speed of the one INSERT.",
        megabytes / acknowledged,
        wall(inserts) / behind
    );
}
