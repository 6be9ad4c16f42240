//! Price events of many pairs on many exchanges.
//!
//! [`pairs`] names the pairs, [`market`] moves their prices. Most events are newer than those before them. Some are late, some have the
//! timestamp of their pair's last event, and some are sent again, as happens with real exchanges and senders.

mod market;
mod pairs;

use std::io::Write;

use chrono::Utc;

use self::market::{Event, Market, PRICE_SCALE, VOLUME_SCALE};
use self::pairs::Names;
use super::error::GenerateError;
use super::rows::Rows;
use super::text::{Clock, push_decimal, push_whole};
use crate::settings::{PricesOptions, RowFormat};

/// The columns, in the order of `schemas/prices.avsc`.
pub const COLUMNS: &str = "base,quote,exchange,price,base_volume_24h,quote_volume_24h,timestamp";

/// Checks options that depend on each other.
///
/// # Errors
/// More than all events would be late, repeated, or have the timestamp of another one.
pub fn check(options: &PricesOptions) -> Result<(), GenerateError> {
    let percents = [options.late_percent, options.tie_percent, options.repeat_percent];
    match percents.into_iter().map(u64::from).sum::<u64>() {
        0..=100 => Ok(()),
        _ => Err(GenerateError::TooManyPercent),
    }
}

/// Writes all events to `out`. Returns their number.
///
/// # Errors
/// The options contradict each other, or `out` cannot be written.
pub fn write(options: &PricesOptions, out: impl Write) -> Result<u64, GenerateError> {
    check(options)?;
    let mut rows = Rows::new(out, options.output.rate);
    let mut market = Market::new(options);
    let mut line = Line { format: options.format, names: Names::default(), clock: Clock::default() };
    if options.format == RowFormat::Csv {
        rows.buffer().extend_from_slice(COLUMNS.as_bytes());
        rows.buffer().push(b'\n');
    }
    let times = Times::new(options);
    for number in 0..options.events {
        rows.wait()?;
        let event = market.event(times.of(number));
        line.push(rows.buffer(), &event);
        rows.count();
    }
    Ok(rows.finish()?)
}

/// When each event happens.
enum Times {
    /// When it is written.
    Present,
    /// Spread over a time.
    Spread { start: i64, millis: u64, events: u64 },
}

impl Times {
    fn new(options: &PricesOptions) -> Self {
        if options.output.rate.is_some() {
            return Self::Present;
        }
        let millis = options.seconds.saturating_mul(1000);
        let span = i64::try_from(millis).unwrap_or(i64::MAX);
        let start = options.start.map(|time| time.timestamp_millis());
        let start = start.unwrap_or_else(|| Utc::now().timestamp_millis().saturating_sub(span));
        Self::Spread { start, millis, events: options.events }
    }

    fn of(&self, number: u64) -> i64 {
        match self {
            Self::Present => Utc::now().timestamp_millis(),
            Self::Spread { start, millis, events } => {
                let after = u128::from(number) * u128::from(*millis) / u128::from((*events).max(1));
                start.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Writes events as lines.
struct Line {
    format: RowFormat,
    names: Names,
    clock: Clock,
}

impl Line {
    fn push(&mut self, out: &mut Vec<u8>, event: &Event) {
        let names = self.names.of(event.pair);
        // JSON has the names of its senders, which are aliases in the schema.
        let between: [&[u8]; 8] = match self.format {
            RowFormat::Csv => [b"", b",", b",", b",", b",", b",", b",", b"\n"],
            RowFormat::Ndjson => [
                b"{\"baseCurrency\":\"",
                b"\",\"quoteCurrency\":\"",
                b"\",\"exchange\":\"",
                b"\",\"price\":",
                b",\"baseVolumeLast24h\":",
                b",\"quoteVolumeLast24h\":",
                b",\"timestampInMs\":",
                b"}\n",
            ],
        };
        let [
            before_base,
            before_quote,
            before_exchange,
            before_price,
            before_base_volume,
            before_quote_volume,
            before_time,
            end,
        ] = between;
        for (before, name) in
            [(before_base, names.base), (before_quote, names.quote), (before_exchange, names.exchange)]
        {
            out.extend_from_slice(before);
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(before_price);
        push_decimal(out, event.price.into(), PRICE_SCALE);
        out.extend_from_slice(before_base_volume);
        push_decimal(out, event.base_volume.into(), VOLUME_SCALE);
        out.extend_from_slice(before_quote_volume);
        push_decimal(out, event.quote_volume(), VOLUME_SCALE);
        out.extend_from_slice(before_time);
        match self.format {
            RowFormat::Csv => out.extend_from_slice(self.clock.text(event.millis).as_bytes()),
            RowFormat::Ndjson => push_whole(out, event.millis),
        }
        out.extend_from_slice(end);
    }
}
