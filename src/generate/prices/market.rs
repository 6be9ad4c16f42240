//! Moves the prices of pairs.

use super::pairs::first_price;
use crate::generate::dice::Dice;
use crate::settings::PricesOptions;

/// Digits after the decimal point of a price, and of a volume.
pub(super) const PRICE_SCALE: u32 = 12;
pub(super) const VOLUME_SCALE: u32 = 8;

/// A price has about this many digits that are not zero.
const SIGNIFICANT_DIGITS: u32 = 6;

/// How far a price moves at once, in hundred-thousandths.
const MAX_MOVE: u64 = 100;

/// How old a late event is, at most.
const MAX_LATE_MILLIS: u64 = 60_000;

/// The volumes of all pairs are within two powers of ten of this one.
const VOLUME: u64 = 1_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) pair: u32,
    /// In units of 10^-12.
    pub(super) price: u64,
    /// In units of 10^-8.
    pub(super) base_volume: u64,
    pub(super) millis: i64,
}

impl Event {
    /// Returns the volume in the quote currency, in units of 10^-8.
    pub(super) fn quote_volume(&self) -> u128 {
        u128::from(self.base_volume) * u128::from(self.price) / 10_u128.pow(PRICE_SCALE)
    }
}

/// The last event of each pair.
pub(super) struct Market {
    dice: Dice,
    late_percent: u64,
    tie_percent: u64,
    repeat_percent: u64,
    /// None: the pair had no event yet.
    last: Vec<Option<Event>>,
}

impl Market {
    pub(super) fn new(options: &PricesOptions) -> Self {
        Self {
            dice: Dice::new(options.seed, 0),
            late_percent: options.late_percent.into(),
            tie_percent: options.tie_percent.into(),
            repeat_percent: options.repeat_percent.into(),
            last: vec![None; options.pairs as usize],
        }
    }

    /// Returns the next event, of a random pair, at this time or a little earlier.
    pub(super) fn event(&mut self, millis: i64) -> Event {
        let pairs = self.last.len() as u64;
        let pair = u32::try_from(self.dice.below(pairs)).unwrap_or_default();
        let percent = self.dice.below(100);
        let Some(last) = self.last.get(pair as usize).copied().flatten() else {
            let event = self.first(pair, millis);
            return self.keep(event);
        };
        let (tie_below, late_below) = (
            self.repeat_percent + self.tie_percent,
            self.repeat_percent + self.tie_percent + self.late_percent,
        );
        if percent < self.repeat_percent {
            return last;
        }
        let mut event = self.moved(last);
        event.millis = millis;
        if percent < tie_below {
            event.millis = last.millis;
        } else if percent < late_below {
            let late = i64::try_from(1 + self.dice.below(MAX_LATE_MILLIS)).unwrap_or_default();
            event.millis = millis.saturating_sub(late).max(0);
        }
        self.keep(event)
    }

    fn keep(&mut self, event: Event) -> Event {
        if let Some(last) = self.last.get_mut(event.pair as usize) {
            *last = Some(event);
        }
        event
    }

    fn first(&mut self, pair: u32, millis: i64) -> Event {
        let base_volume = VOLUME / 100 + self.dice.below(VOLUME * 100);
        Event { pair, price: rounded(first_price(pair)), base_volume, millis }
    }

    /// Returns the event with another price and volume.
    fn moved(&mut self, event: Event) -> Event {
        let price = rounded(self.near(event.price));
        let base_volume = self.near(event.base_volume).clamp(VOLUME / 100, VOLUME * 100);
        Event { price, base_volume, ..event }
    }

    /// Returns a number that differs from this one by at most 0.1 %, and is at least 1.
    fn near(&mut self, number: u64) -> u64 {
        let factor = 100_000 - MAX_MOVE + self.dice.below(2 * MAX_MOVE + 1);
        let moved = (u128::from(number) * u128::from(factor) + 50_000) / 100_000;
        u64::try_from(moved).unwrap_or(u64::MAX).max(1)
    }
}

/// Returns the price with fewer digits.
fn rounded(price: u64) -> u64 {
    let tick = 10_u64.pow(price.max(1).ilog10().saturating_sub(SIGNIFICANT_DIGITS - 1));
    (price - price % tick).max(1)
}
