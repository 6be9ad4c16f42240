//! When the rounds are played: few at night, many in the evening, and bursts of ten minutes.

use std::fmt::Write as _;

use chrono::{Days, NaiveDate};

use crate::generate::dice::Dice;
use crate::settings::GenerateOptions;

/// The day of the first round, in days since 1970-01-01: 2019-10-22 as in the reference file.
const FIRST_DAY: u64 = 18_191;

/// The weight of each hour of the day, starting at midnight.
const HOURS: [u64; 24] = [6, 4, 3, 2, 2, 2, 3, 4, 6, 7, 8, 9, 10, 10, 10, 11, 12, 14, 17, 20, 22, 22, 18, 11];

/// Minutes in a row with the same weight.
const SLOT_MINUTES: u64 = 10;

/// The stream of [`Dice`] for the bursts; the rounds use another.
const STREAM: u64 = 1;

/// Distributes a number of rows over the minutes of some days.
#[derive(Debug)]
pub(super) struct Schedule {
    seed: u64,
    rows: u64,
    minutes: u64,
    total_weight: u64,
}

impl Schedule {
    pub(super) fn new(options: &GenerateOptions) -> Self {
        let minutes = u64::from(options.days) * 24 * 60;
        let total_weight = Weights::new(options.seed, minutes).sum();
        Self { seed: options.seed, rows: options.rows, minutes, total_weight }
    }

    /// Returns the minutes in order. Together they have exactly the given number of rows.
    pub(super) fn minutes(&self) -> impl Iterator<Item = Minute> {
        let mut weight_so_far = 0;
        let mut rows_so_far = 0;
        let weights = Weights::new(self.seed, self.minutes);
        weights.zip(0..).map(move |(weight, minute)| {
            weight_so_far += weight;
            let rows_until = self.rows_until(weight_so_far);
            let rows = rows_until - rows_so_far;
            rows_so_far = rows_until;
            Minute { first_second: minute * 60, rows }
        })
    }

    fn rows_until(&self, weight: u64) -> u64 {
        let rows = u128::from(self.rows) * u128::from(weight) / u128::from(self.total_weight);
        u64::try_from(rows).unwrap_or(self.rows)
    }
}

/// One minute and the number of rounds that end in it.
#[derive(Debug)]
pub(super) struct Minute {
    first_second: u64,
    rows: u64,
}

impl Minute {
    /// Returns the second in which each round ends, counted from the first midnight.
    pub(super) fn seconds(self) -> impl Iterator<Item = u64> {
        let Self { first_second, rows } = self;
        (0..rows).map(move |row| {
            let second = u128::from(row) * 60 / u128::from(rows);
            first_second + u64::try_from(second).unwrap_or(0)
        })
    }
}

/// The weights of the minutes.
struct Weights {
    dice: Dice,
    minute: u64,
    end: u64,
    slot: u64,
}

impl Weights {
    fn new(seed: u64, end: u64) -> Self {
        Self { dice: Dice::new(seed, STREAM), minute: 0, end, slot: 0 }
    }
}

impl Iterator for Weights {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.minute == self.end {
            return None;
        }
        if self.minute.is_multiple_of(SLOT_MINUTES) {
            let burst = self.dice.one_in(24);
            self.slot = if burst { 60 } else { 7 + self.dice.below(7) };
        }
        let hour = self.minute / 60 % 24;
        self.minute += 1;
        Some(HOURS[hour as usize] * self.slot)
    }
}

/// Writes times as `2019-10-22 08:20:41`. Keeps the date for the next call.
#[derive(Debug, Default)]
pub(super) struct Clock {
    day: Option<u64>,
    date: String,
    text: String,
}

impl Clock {
    /// Returns the time `second` seconds after the first midnight.
    pub(super) fn text(&mut self, second: u64) -> &str {
        let day = second / 86_400;
        if self.day != Some(day) {
            self.day = Some(day);
            let date = NaiveDate::default().checked_add_days(Days::new(FIRST_DAY + day)).unwrap_or_default();
            self.date = date.to_string();
        }
        let (hour, minute, second) = (second / 3_600 % 24, second / 60 % 60, second % 60);
        self.text.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{} {hour:02}:{minute:02}:{second:02}", self.date);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_on_the_first_day_of_the_reference_file() {
        let mut clock = Clock::default();
        assert_eq!(clock.text(0), "2019-10-22 00:00:00");
        assert_eq!(clock.text(86_400 * 10 + 3_661), "2019-11-01 01:01:01");
    }

    #[test]
    fn the_minutes_together_have_exactly_the_rows() {
        for rows in [0, 1, 9_999, u64::MAX] {
            let weights = Weights::new(7, 24 * 60).sum();
            let schedule = Schedule { seed: 7, rows, minutes: 24 * 60, total_weight: weights };
            assert_eq!(schedule.minutes().map(|minute| minute.rows).sum::<u64>(), rows);
        }
    }
}
