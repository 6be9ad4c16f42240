//! Prometheus metrics of the server.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::warehouse::uploads::{LedgerRow, LedgerState};

/// Bucket bounds in seconds, from one page of aggregates to an upload of an hour.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Loader {
    loader: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Dataset {
    dataset: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters and histograms. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    rows: Counter,
    bytes: Counter,
    acknowledged: Counter,
    rejects: Family<Code, Counter>,
    lost_messages: Family<Code, Counter>,
    uploads: Family<State, Counter>,
    requests: Seconds<RequestLabels>,
    reconciliations: Seconds<State>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            rows: Counter::default(),
            bytes: Counter::default(),
            acknowledged: Counter::default(),
            rejects: Family::default(),
            lost_messages: Family::default(),
            uploads: Family::default(),
            requests: Family::new_with_constructor(histogram),
            reconciliations: Family::new_with_constructor(histogram),
        }
    }
}

/// Values that are read when Prometheus asks.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub uploads_under_way: usize,
    /// Whether each loader of this process is loading.
    pub loading: Vec<(String, bool)>,
    /// The last values that are kept in memory.
    pub latest: Vec<LatestNow>,
    /// None if ClickHouse does not answer.
    pub lag: Option<Lag>,
    pub lost_parts: usize,
    /// Free bytes on the data directory's disk. None if they cannot be read.
    pub disk_free: Option<u64>,
    pub disk_reserve: u64,
}

/// The last values of a dataset.
#[derive(Clone, Debug, Default)]
pub struct LatestNow {
    pub dataset: String,
    pub rows: usize,
    pub bytes: usize,
    /// Whether requests are answered from memory.
    pub answers: bool,
    /// Messages of the topic that were not read yet.
    pub lag: u64,
    /// Seconds since nothing of the topic was missing. None: never yet.
    pub age: Option<f64>,
}

/// How far the tables lag behind the acknowledged uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    pub offsets: u64,
    /// Age of the oldest acknowledged upload that is not visible yet.
    pub seconds: f64,
}

impl Metrics {
    /// Counts the progress of an upload since `before`.
    pub fn see_upload(&self, before: Option<&LedgerRow>, now: &LedgerRow) {
        let since = |count: fn(&LedgerRow) -> u64| count(now).saturating_sub(before.map_or(0, count));
        self.rows.inc_by(since(|row| row.rows));
        self.bytes.inc_by(since(|row| row.bytes));
        self.acknowledged.inc_by(since(|row| row.acknowledged));
        for (code, count) in &now.rejects_by_code {
            let before = before.and_then(|row| row.rejects_by_code.get(code)).copied().unwrap_or_default();
            let code = Code { code: code.clone() };
            self.rejects.get_or_create(&code).inc_by(count.saturating_sub(before));
        }
        if now.state != LedgerState::Receiving {
            self.see_state(now.state.name());
        }
    }

    /// Counts messages of a topic that were not loaded and never will be.
    pub fn see_lost_messages(&self, code: &str, messages: u64) {
        self.lost_messages.get_or_create(&Code { code: code.to_owned() }).inc_by(messages);
    }

    /// Counts an upload of a file that was uploaded before.
    pub fn see_duplicate(&self) {
        self.see_state("duplicate");
    }

    fn see_state(&self, state: &'static str) {
        self.uploads.get_or_create(&State { state }).inc();
    }

    /// Counts a request. `route`: the pattern in the router, not the requested path.
    pub fn see_request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method, route: route.to_owned(), status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a finished reconciliation.
    pub fn see_reconciliation(&self, state: &'static str, took: Duration) {
        self.reconciliations.get_or_create(&State { state }).observe(took.as_secs_f64());
    }

    /// Writes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// A metric cannot be written as text.
    pub fn text(&self, now: &Now) -> Result<String, std::fmt::Error> {
        let mut all = Registry::with_prefix("roundhouse");
        all.register("upload_rows", "Rows read from uploads", self.rows.clone());
        all.register("upload_bytes", "Bytes read from uploads, after decompression", self.bytes.clone());
        all.register("acknowledged_rows", "Valid rows acknowledged by the broker", self.acknowledged.clone());
        all.register("rejected_rows", "Invalid rows, by error code", self.rejects.clone());
        let help = "Messages of the topics that were skipped without being loaded, by reason";
        all.register("lost_messages", help, self.lost_messages.clone());
        all.register("uploads", "Finished uploads, by state", self.uploads.clone());
        all.register(
            "request_seconds",
            "Duration of HTTP requests, by method, route and status",
            self.requests.clone(),
        );
        let reconciliations = self.reconciliations.clone();
        all.register(
            "reconcile_job_seconds",
            "Duration of finished reconciliations, by state",
            reconciliations,
        );
        let help = "Upload slots in use, at most --max-concurrent-uploads";
        all.register("uploads_under_way", help, gauge(now.uploads_under_way));
        let help = "Table parts that ClickHouse cannot read and whose rows are not restored yet";
        all.register("lost_parts", help, gauge(now.lost_parts));
        let loading: Family<Loader, Gauge> = Family::default();
        for (loader, loads) in &now.loading {
            loading.get_or_create(&Loader { loader: loader.clone() }).set(i64::from(*loads));
        }
        all.register(
            "loading",
            "1 if this server loads the topic; 0 if it waits or another server loads it",
            loading,
        );
        register_latest(&mut all, &now.latest);
        if let Some(free) = now.disk_free {
            all.register("disk_free_bytes", "Free bytes on the data directory's disk", gauge(free));
        }
        let help = "Bytes of the disk that are kept free (--disk-reserve-bytes)";
        all.register("disk_reserve_bytes", help, gauge(now.disk_reserve));
        if let Some(lag) = now.lag {
            let help = "Messages of acknowledged uploads that are not in the tables yet";
            all.register("visible_lag_offsets", help, gauge(lag.offsets));
            let seconds = Gauge::<f64, AtomicU64>::default();
            seconds.set(lag.seconds);
            let help = "How long the oldest acknowledged upload has been waiting to become visible";
            all.register("visible_lag_seconds", help, seconds);
        }
        let mut out = String::new();
        text::encode(&mut out, &all)?;
        Ok(out)
    }
}

fn register_latest(all: &mut Registry, latest: &[LatestNow]) {
    if latest.is_empty() {
        return;
    }
    let mut register = |name: &str, help: &str, value: &dyn Fn(&LatestNow) -> Option<f64>| {
        let family: Family<Dataset, Gauge<f64, AtomicU64>> = Family::default();
        for one in latest {
            if let Some(value) = value(one) {
                family.get_or_create(&Dataset { dataset: one.dataset.clone() }).set(value);
            }
        }
        all.register(name, help, family);
    };
    register("latest_rows", "Keys whose last row is in memory", &|one| Some(one.rows as f64));
    register("latest_bytes", "Memory for the last rows, at most --max-latest-bytes", &|one| {
        Some(one.bytes as f64)
    });
    let help = "1 if requests are answered from memory; 0 if ClickHouse answers, because the rows are not up to date";
    register("latest_answers", help, &|one| Some(f64::from(u8::from(one.answers))));
    let help = "Messages of the topic that are not in memory yet, as of the last second";
    register("latest_lag_messages", help, &|one| Some(one.lag as f64));
    let help = "Seconds since no message of the topic was missing in memory; checked once a second";
    register("latest_age_seconds", help, &|one| one.age);
}

fn gauge(value: impl TryInto<i64>) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    gauge
}

/// Turns the OpenMetrics text into the older text format of Prometheus (version 0.0.4), which browsers display. There, the help and the
/// type of a counter have the name of its samples, which ends in `_total`, and the text has no end mark.
pub fn as_plain_text(open_metrics: &str) -> String {
    let counters: HashSet<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut out = String::with_capacity(open_metrics.len() + 8 * counters.len());
    for line in open_metrics.lines().filter(|line| !line.starts_with("# EOF") && !line.starts_with("# UNIT "))
    {
        let described =
            ["# HELP ", "# TYPE "].iter().find_map(|start| Some((*start, line.strip_prefix(start)?)));
        match described.and_then(|(start, rest)| Some((start, rest.split_once(' ')?))) {
            Some((start, (name, rest))) if counters.contains(name) => {
                out.extend([start, name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_plain_text_a_counter_is_described_under_the_name_of_its_samples() {
        let metrics = Metrics::default();
        metrics.see_state("failed");
        metrics.see_request("GET", "/", 200, Duration::from_millis(7));
        let open_metrics = metrics.text(&Now { disk_reserve: 5, ..Now::default() }).unwrap();
        assert!(open_metrics.ends_with("# EOF\n"), "{open_metrics}");
        let plain = as_plain_text(&open_metrics);
        for lines in [
            "# HELP roundhouse_uploads_total Finished uploads, by state.\n# TYPE roundhouse_uploads_total counter\n\
             roundhouse_uploads_total{state=\"failed\"} 1\n",
            "# TYPE roundhouse_request_seconds histogram\n",
            "# TYPE roundhouse_disk_reserve_bytes gauge\nroundhouse_disk_reserve_bytes 5\n",
        ] {
            assert!(plain.contains(lines), "{lines}: {plain}");
        }
        assert!(!plain.contains("# EOF") && plain.ends_with('\n'), "{plain}");
        let samples = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(&plain), samples(&open_metrics));
    }
}
