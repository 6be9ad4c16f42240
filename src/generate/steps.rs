//! Chains of the Collatz conjecture: halve an even number, triple an odd one and add 1, until 1 is reached.

use std::io::Write;

use chrono::Utc;
use uuid::Uuid;

use super::dice::Dice;
use super::error::GenerateError;
use super::rows::Rows;
use super::text::{Clock, push_whole};
use crate::settings::{RowFormat, StepsOptions};

/// The columns, in the order of `schemas/steps.avsc`.
pub const COLUMNS: &str = "number,step,value,produced_at";

/// The largest value of a row: 38 digits.
pub const MAX_VALUE: u128 = 10_u128.pow(38) - 1;

/// Checks options that depend on each other.
///
/// # Errors
/// The range is empty.
pub fn check(options: &StepsOptions) -> Result<(), GenerateError> {
    match (options.random, options.to) {
        (None, Some(to)) if options.from > to => Err(GenerateError::EmptyRange { from: options.from, to }),
        _ => Ok(()),
    }
}

/// Writes all chains to `out`. Returns the number of rows.
///
/// # Errors
/// A value has more than 38 digits: then its chain is not written. Or `out` cannot be written.
pub fn write(options: &StepsOptions, out: impl Write) -> Result<u64, GenerateError> {
    check(options)?;
    let mut chains = Chains {
        rows: Rows::new(out, options.output.rate),
        format: options.format,
        produced_at: options.produced_at.map(|time| time.timestamp_millis()),
        clock: Clock::default(),
        start: Vec::new(),
        values: Vec::new(),
    };
    chains.write_header();
    match (options.random, options.to) {
        (Some(count), _) => {
            let seed = options.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
            let mut dice = Dice::new(seed, 0);
            for _ in 0..count {
                chains.write(1 + dice.below(options.below.saturating_sub(1)))?;
            }
        }
        (None, Some(to)) => (options.from..=to).try_for_each(|number| chains.write(number))?,
        (None, None) => {}
    }
    Ok(chains.rows.finish()?)
}

/// Writes one chain after the other.
struct Chains<W> {
    rows: Rows<W>,
    format: RowFormat,
    /// If all rows have the same.
    produced_at: Option<i64>,
    clock: Clock,
    /// What all rows of a chain begin with.
    start: Vec<u8>,
    values: Vec<u128>,
}

impl<W: Write> Chains<W> {
    fn write_header(&mut self) {
        if self.format == RowFormat::Csv {
            self.rows.buffer().extend_from_slice(COLUMNS.as_bytes());
            self.rows.buffer().push(b'\n');
        }
    }

    fn write(&mut self, number: u64) -> Result<(), GenerateError> {
        self.values.clear();
        for (step, value) in (0..).zip(Chain::of(number)) {
            self.values.push(value.ok_or(GenerateError::TooManyDigits { number, step })?);
        }
        self.start.clear();
        let (start, end): (&[u8], &[u8]) = match self.format {
            RowFormat::Csv => (b"", b","),
            RowFormat::Ndjson => (b"{\"number\":", b",\"step\":"),
        };
        self.start.extend_from_slice(start);
        push_whole(&mut self.start, number);
        self.start.extend_from_slice(end);
        let produced_at = self.produced_at.unwrap_or_else(|| Utc::now().timestamp_millis());
        for (step, value) in (0_u64..).zip(&self.values) {
            self.rows.wait()?;
            let row = self.rows.buffer();
            row.extend_from_slice(&self.start);
            let time = self.clock.text(produced_at).as_bytes();
            push_rest(row, self.format, step, *value, time);
            self.rows.count();
        }
        Ok(())
    }
}

/// Appends what comes after the number. In JSON the value is text: most programs read numbers as floats.
fn push_rest(row: &mut Vec<u8>, format: RowFormat, step: u64, value: u128, time: &[u8]) {
    let (before_value, before_time, end): (&[u8], &[u8], &[u8]) = match format {
        RowFormat::Csv => (b",", b",", b"\n"),
        RowFormat::Ndjson => (b",\"value\":\"", b"\",\"produced_at\":\"", b"\"}\n"),
    };
    push_whole(row, step);
    row.extend_from_slice(before_value);
    match u64::try_from(value) {
        Ok(value) => push_whole(row, value),
        Err(_) => push_whole(row, value),
    }
    row.extend_from_slice(before_time);
    row.extend_from_slice(time);
    row.extend_from_slice(end);
}

/// The values of a chain, from the number itself to 1. None instead of one with more than 38 digits, after which the chain ends.
#[derive(Debug)]
struct Chain(Option<u128>);

impl Chain {
    fn of(number: u64) -> Self {
        Self(Some(number.into()))
    }
}

impl Iterator for Chain {
    type Item = Option<u128>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.0?;
        if value > MAX_VALUE {
            self.0 = None;
            return Some(None);
        }
        self.0 = match value {
            // A chain of 0 would not end.
            0 | 1 => None,
            even if even.is_multiple_of(2) => Some(even / 2),
            // Three times 38 digits fit 128 bits.
            odd => Some(odd * 3 + 1),
        };
        Some(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of steps, and the highest value with its step.
    fn summary(number: u64) -> (usize, u128, usize) {
        let values: Vec<u128> = Chain::of(number).map(Option::unwrap).collect();
        let highest = values.iter().copied().max().unwrap();
        (values.len() - 1, highest, values.iter().position(|value| *value == highest).unwrap())
    }

    #[test]
    fn chains_have_the_known_lengths_and_highest_values() {
        assert_eq!(Chain::of(6).map(Option::unwrap).collect::<Vec<_>>(), [6, 3, 10, 5, 16, 8, 4, 2, 1]);
        assert_eq!(summary(1), (0, 1, 0));
        assert_eq!(summary(27), (111, 9_232, 77));
        assert_eq!(summary(837_799).0, 524);
        assert_eq!(summary(704_511).1, 56_991_483_520);
        // Beyond 64 bits.
        assert_eq!(summary(12_327_829_503).1, 20_722_398_914_405_051_728);
        assert_eq!(
            summary(1_980_976_057_694_848_447),
            (1_475, 64_024_667_322_193_133_530_165_877_294_264_738_020, 690)
        );
        assert_eq!(
            (1..1_000_000).map(|number| Chain::of(number).count() as u64 - 1).sum::<u64>(),
            131_434_272
        );
    }

    #[test]
    fn a_value_of_39_digits_ends_the_chain() {
        let mut chain = Chain(Some(MAX_VALUE));
        // 10^38 - 1 is odd.
        assert_eq!(chain.next(), Some(Some(MAX_VALUE)));
        assert_eq!(chain.next(), Some(None));
        assert_eq!(chain.next(), None);
    }
}
