//! How far a file has come, and the bar that shows it on a terminal.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use memchr::memchr_iter;
use serde_json::Value;

/// Between two drawings of what moves by itself.
const TICK: Duration = Duration::from_millis(100);

/// While the file is sent.
const SENDING: &str = "{prefix} [{bar:24}] {bytes}/{total_bytes}, {bytes_per_sec}, {msg}, {eta} left";

/// While the server works on what it has.
const WAITING: &str = "{prefix} {spinner} {bytes} sent, {msg}; waiting for the receipt";

/// While the server works by itself.
const WORKING: &str = "{prefix} [{bar:24}] {percent}%, {msg}, {elapsed}";

/// Steps of a job's bar.
const JOB_STEPS: u64 = 1000;

/// How far one file has come. Clones are of the same file.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Bytes taken to be sent; the bar's own position jumps to the end when it is cleared.
    bytes: Arc<AtomicU64>,
    /// Line ends: about as many as rows, since few stand in quoted fields.
    lines: Arc<AtomicU64>,
    /// Why the file could not be read on.
    failure: Arc<Mutex<Option<String>>>,
}

impl Progress {
    /// Begins to show a file of this length, on standard error if that is a terminal.
    pub fn new(path: &Path, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr())
            .with_style(style(SENDING))
            .with_prefix(super::file::name(path));
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            started: Instant::now(),
            bytes: Arc::default(),
            lines: Arc::default(),
            failure: Arc::default(),
        }
    }

    /// A piece was taken to be sent.
    pub fn add(&self, piece: &Bytes) {
        let ends = memchr_iter(b'\n', piece).count() as u64;
        let lines = self.lines.fetch_add(ends, Ordering::Relaxed) + ends;
        let speed = lines as f64 / self.started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        self.bar.set_message(format!("{} rows/s", HumanCount(speed as u64)));
        self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        self.bar.inc(piece.len() as u64);
    }

    /// Nothing to send; it shows that all was sent when it is asked for.
    pub fn end_of_file(&self) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        let bar = self.bar.clone();
        stream::iter(std::iter::from_fn(move || {
            bar.set_style(style(WAITING));
            None
        }))
    }

    /// The file cannot be read on.
    pub fn fail(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes taken to be sent.
    pub fn sent(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far a job at the server has come.
#[derive(Clone, Debug)]
pub struct JobProgress(ProgressBar);

impl JobProgress {
    /// Begins to show the job of a file, on standard error if that is a terminal.
    pub fn new(file: &Path) -> Self {
        let bar = ProgressBar::with_draw_target(Some(JOB_STEPS), ProgressDrawTarget::stderr())
            .with_style(style(WORKING))
            .with_prefix(super::file::name(file));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Shows what the server says of it.
    pub fn show(&self, job: &Value) {
        let part = job["progress"].as_f64().unwrap_or_default().clamp(0.0, 1.0);
        self.0.set_position((part * JOB_STEPS as f64) as u64);
        let doing = job["phase"].as_str().or(job["state"].as_str()).unwrap_or_default();
        self.0.set_message(doing.replace('_', " "));
    }
}

impl Drop for JobProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; the default stands in for one that is wrong.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_known_after_the_bar_is_gone() {
        let progress = Progress::new(Path::new("a.csv"), 100);
        progress.add(&Bytes::from_static(b"1,2\n"));
        progress.clear();
        assert_eq!(progress.sent(), 4);
    }

    #[test]
    fn the_templates_are_templates() {
        for template in [SENDING, WAITING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
