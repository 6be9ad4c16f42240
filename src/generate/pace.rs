//! A fixed number of rows per second.

use std::thread;
use std::time::{Duration, Instant};

/// Rows are written at least this far apart, several at once if necessary. Shorter pauses would cost more than the rows.
const MIN_PAUSE: Duration = Duration::from_millis(5);

/// When which row may be written: the first one at once, the others in equal distances.
#[derive(Debug)]
pub(super) struct Pace {
    rows_per_second: u64,
    start: Instant,
    /// How many rows may have been written by now.
    allowed: u64,
}

impl Pace {
    pub(super) fn new(rows_per_second: u64) -> Self {
        Self { rows_per_second, start: Instant::now(), allowed: 1 }
    }

    /// Whether the next row must wait, after this many.
    pub(super) fn is_ahead(&self, written: u64) -> bool {
        written >= self.allowed
    }

    /// Waits until the next row may be written, after this many.
    pub(super) fn wait(&mut self, written: u64) {
        loop {
            let elapsed = self.start.elapsed();
            self.allowed = allowed(elapsed, self.rows_per_second);
            if self.allowed > written {
                return;
            }
            let due = time_of(written, self.rows_per_second);
            thread::sleep(due.saturating_sub(elapsed).max(MIN_PAUSE));
        }
    }
}

/// Returns how many rows may have been written after this time.
fn allowed(elapsed: Duration, rows_per_second: u64) -> u64 {
    let rows = elapsed.as_nanos() * u128::from(rows_per_second) / 1_000_000_000;
    u64::try_from(rows).unwrap_or(u64::MAX).saturating_add(1)
}

/// Returns the time of the row after this many, rounded up.
fn time_of(rows: u64, rows_per_second: u64) -> Duration {
    let nanos = (u128::from(rows) * 1_000_000_000).div_ceil(u128::from(rows_per_second.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_is_written_at_once_and_the_others_in_equal_distances() {
        let second = Duration::from_secs(1);
        assert_eq!(allowed(Duration::ZERO, 4), 1);
        assert_eq!(allowed(second / 4, 4), 2);
        assert_eq!(allowed(second * 3600, 75_000), 270_000_001);
        assert_eq!(time_of(0, 4), Duration::ZERO);
        assert_eq!(time_of(6, 4), second * 3 / 2);
        for rate in [1, 3, 7, 75_000, u64::from(u32::MAX)] {
            for rows in [1, 2, 1000, 12_345_678] {
                assert!(allowed(time_of(rows, rate), rate) > rows, "{rows} rows at {rate}");
            }
        }
    }
}
