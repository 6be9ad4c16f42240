//! The progress of a file, and the bar that shows it on a terminal.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use memchr::memchr_iter;
use serde_json::Value;

use roundhouse_part::lock::lock;

use crate::counted::counted;

/// Time between two drawings of the bar.
const TICK: Duration = Duration::from_millis(100);

/// While the file is sent. The message begins with a comma, or is empty.
const SENDING: &str = "{prefix} [{bar:24}] {bytes}/{total_bytes}, {bytes_per_sec}{msg}, {eta} left";

/// While a file of unknown length is sent.
const SENDING_PIPE: &str = "{prefix} {spinner} {bytes} sent, {bytes_per_sec}{msg}";

/// While the server works on the whole file.
const WAITING: &str = "{prefix} {spinner} {bytes} sent{msg}; waiting for the server to finish";

/// While a job runs on the server.
const WORKING: &str = "{prefix} [{bar:24}] {percent}%, {msg}, {elapsed}";

/// Steps of the bar of a job.
const JOB_STEPS: u64 = 1000;

/// The progress of one file. Clones belong to the same file.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Bytes that were sent. The bar's own position jumps to the end when it is cleared.
    bytes: Arc<AtomicU64>,
    /// Line ends, about as many as rows. A compressed file has none to count.
    lines: Option<Arc<AtomicU64>>,
    /// Why the file could not be read further.
    failure: Arc<Mutex<Option<String>>>,
}

impl Progress {
    /// Begins to show how much of a file is sent, on standard error if that is a terminal. `size`: its bytes, if they are known.
    /// `has_lines`: line ends can be counted.
    pub fn new(name: String, size: Option<u64>, has_lines: bool) -> Self {
        let sending = if size.is_some() { SENDING } else { SENDING_PIPE };
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr())
            .with_style(style(sending))
            .with_prefix(name);
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            started: Instant::now(),
            bytes: Arc::default(),
            lines: has_lines.then(Arc::default),
            failure: Arc::default(),
        }
    }

    /// A piece is being sent.
    pub fn add(&self, piece: &Bytes) {
        if let Some(lines) = &self.lines {
            let ends = memchr_iter(b'\n', piece).count() as u64;
            let lines = lines.fetch_add(ends, Ordering::Relaxed) + ends;
            let speed = lines as f64 / self.started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
            self.bar.set_message(format!(", {}/s", counted(speed as u64, "row")));
        }
        self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        self.bar.inc(piece.len() as u64);
    }

    /// Returns an empty stream. When it is read, the bar shows that the whole file was sent.
    pub fn end_of_file(&self) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        let bar = self.bar.clone();
        stream::iter(std::iter::from_fn(move || {
            bar.set_style(style(WAITING));
            None
        }))
    }

    /// The file cannot be read further.
    pub fn fail(&self, reason: String) {
        *lock(&self.failure) = Some(reason);
    }

    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Returns the bytes that were sent.
    pub fn sent(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The progress of a job on the server.
#[derive(Clone, Debug)]
pub struct JobProgress(ProgressBar);

impl JobProgress {
    /// Begins to show the job of a file, on standard error if that is a terminal.
    pub fn new(name: String) -> Self {
        let bar = ProgressBar::with_draw_target(Some(JOB_STEPS), ProgressDrawTarget::stderr())
            .with_style(style(WORKING))
            .with_prefix(name);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Shows the state that the server reports.
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
    // The templates are constants. A wrong one would be replaced by the default.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_were_sent_are_known_after_the_bar_is_removed() {
        let progress = Progress::new("rounds.csv".to_owned(), Some(4), true);
        progress.add(&Bytes::from_static(b"1,2\n"));
        progress.clear();
        assert_eq!(progress.sent(), 4);
    }

    #[test]
    fn the_templates_are_valid() {
        for template in [SENDING, SENDING_PIPE, WAITING, WORKING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
