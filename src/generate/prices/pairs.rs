//! The pairs: a base and a quote currency on an exchange.

const BASES: [&str; 20] = [
    "BTC", "ETH", "SOL", "XRP", "BNB", "ADA", "DOGE", "AVAX", "DOT", "LINK", "LTC", "TRX", "ATOM", "NEAR",
    "UNI", "ETC", "XLM", "FIL", "PEPE", "SHIB",
];

/// What the first bases cost in dollars, in units of 10^-12.
const DOLLARS: [u64; 20] = [
    97_000_000_000_000_000,
    3_600_000_000_000_000,
    240_000_000_000_000,
    2_200_000_000_000,
    680_000_000_000_000,
    1_050_000_000_000,
    410_000_000_000,
    44_000_000_000_000,
    8_900_000_000_000,
    19_000_000_000_000,
    101_000_000_000_000,
    270_000_000_000,
    8_600_000_000_000,
    6_900_000_000_000,
    13_000_000_000_000,
    33_000_000_000_000,
    480_000_000_000,
    5_700_000_000_000,
    20_100_000,
    25_300_000,
];

/// The quote currencies, and what one costs in millionths of a dollar.
const QUOTES: [(&str, u64); 4] =
    [("USDT", 1_000_000), ("USD", 1_000_000), ("EUR", 1_090_000), ("BTC", 97_000_000_000)];

/// Instead of a currency in itself.
const QUOTE_OF_BTC: (&str, u64) = ("GBP", 1_270_000);

const EXCHANGES: [&str; 10] =
    ["binance", "coinbase", "kraken", "okx", "bybit", "bitstamp", "kucoin", "gateio", "bitfinex", "gemini"];

const PAIRS_OF_A_BASE: u32 = (QUOTES.len() * EXCHANGES.len()) as u32;

/// The parts of a pair's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair<'a> {
    pub(super) base: &'a str,
    pub(super) quote: &'static str,
    pub(super) exchange: &'static str,
}

/// Names pairs. Keeps the name of a base that is not well known.
#[derive(Debug, Default)]
pub(super) struct Names(String);

impl Names {
    /// Returns the names of a pair. Pairs with the same base follow each other.
    pub(super) fn of(&mut self, pair: u32) -> Pair<'_> {
        let rank = pair / PAIRS_OF_A_BASE;
        let exchange = EXCHANGES[pair as usize % EXCHANGES.len()];
        let base = match BASES.get(rank as usize) {
            Some(base) => base,
            None => {
                self.0.clear();
                self.0.push('T');
                self.0.push_str(itoa::Buffer::new().format(rank));
                self.0.as_str()
            }
        };
        Pair { base, quote: quote(pair).0, exchange }
    }
}

fn quote(pair: u32) -> (&'static str, u64) {
    let (name, millionths) = QUOTES[pair as usize / EXCHANGES.len() % QUOTES.len()];
    if name == BASES[0] && pair < PAIRS_OF_A_BASE { QUOTE_OF_BTC } else { (name, millionths) }
}

/// Returns the price with which a pair begins, in units of 10^-12.
pub(super) fn first_price(pair: u32) -> u64 {
    let rank = pair / PAIRS_OF_A_BASE;
    let dollars = DOLLARS.get(rank as usize).copied().unwrap_or_else(|| {
        // Between a hundred-thousandth and some hundred dollars.
        let magnitude = 10_u64.pow(7 + rank % 7);
        magnitude * (1 + u64::from(rank) * 7_919 % 90)
    });
    let price = u128::from(dollars) * 1_000_000 / u128::from(quote(pair).1);
    u64::try_from(price).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pair_has_its_own_name_and_a_price() {
        let mut names = Names::default();
        let mut seen = HashSet::new();
        for pair in 0..50_000 {
            let Pair { base, quote, exchange } = names.of(pair);
            assert_ne!(base, quote);
            assert!(seen.insert((base.to_owned(), quote, exchange)), "{base} {quote} {exchange}");
            assert!(first_price(pair) > 0, "{base}");
        }
        assert_eq!(names.of(0), Pair { base: "BTC", quote: "USDT", exchange: "binance" });
        assert!(names.of(u32::MAX).base.starts_with('T') && first_price(u32::MAX) > 0);
    }
}
