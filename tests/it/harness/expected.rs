//! Computes the aggregates that files must lead to, without using the code under test.
//!
//! A second, simpler reader: the whole file in memory, the encoding from its byte order mark, the `csv` crate, money in `i128` units of
//! 10^-8. It reads files written by `roundhouse generate`, whose rows are all valid.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Rows and hourly totals of one or more files. Each round counts once, however often it occurs.
#[derive(Debug, Default)]
pub struct Expected {
    /// Number of rows in all files, without headers.
    pub rows: u64,
    /// Number of different rounds (game_instance_id).
    pub rounds: u64,
    /// Totals by hour (`2019-10-22T08:00:00Z`), player and game, in the order of `GET /aggregates`.
    pub by_hour: BTreeMap<(String, String, u64), Totals>,
}

/// Sums in units of 10^-8. A missing amount counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub rounds: u64,
    pub real_bet: i128,
    pub bonus_bet: i128,
    pub real_win: i128,
    pub bonus_win: i128,
}

impl Expected {
    /// Reads the files. If a round occurs more than once, the first row counts.
    pub fn of(files: &[&Path]) -> Self {
        let mut expected = Self::default();
        let mut seen = HashSet::new();
        for file in files {
            let text = text(file);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let columns = Columns::find(reader.headers().expect("a header"));
            for record in reader.records() {
                let record = record.expect("a row");
                expected.rows += 1;
                if seen.insert(columns.id(&record)) {
                    expected.rounds += 1;
                    expected.add(&columns, &record);
                }
            }
        }
        expected
    }

    /// Returns the sum of everything.
    pub fn totals(&self) -> Totals {
        let mut all = Totals::default();
        for hour in self.by_hour.values() {
            all.rounds += hour.rounds;
            all.real_bet += hour.real_bet;
            all.bonus_bet += hour.bonus_bet;
            all.real_win += hour.real_win;
            all.bonus_win += hour.bonus_win;
        }
        all
    }

    fn add(&mut self, columns: &Columns, record: &csv::StringRecord) {
        let text = |column: usize| record.get(column).expect("a field");
        let key = (hour(text(columns.created)), text(columns.player).to_owned(), number(text(columns.game)));
        let totals = self.by_hour.entry(key).or_default();
        totals.rounds += 1;
        totals.real_bet += amount(text(columns.money[0]));
        totals.bonus_bet += amount(text(columns.money[1]));
        totals.real_win += amount(text(columns.money[2]));
        totals.bonus_win += amount(text(columns.money[3]));
    }
}

/// Returns the text of a file in UTF-16 (with a byte order mark) or UTF-8. Panics if it is invalid.
pub fn text(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    let (text, _, malformed) = encoding_rs::UTF_8.decode(&bytes);
    assert!(!malformed, "{} is not well-formed", file.display());
    text.into_owned()
}

/// Converts a decimal, as written by `GET /aggregates`, to units of 10^-8.
pub fn units(decimal: &str) -> i128 {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, decimal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 8, "{decimal} is finer than 10^-8");
    let padded = format!("{whole}{fraction:0<8}");
    sign * padded.parse::<i128>().unwrap_or_else(|_| panic!("{decimal:?} is not a decimal"))
}

fn amount(field: &str) -> i128 {
    match field {
        "" | "NaN" | "NULL" => 0,
        _ => match field.split_once("E-") {
            Some((mantissa, exponent)) => {
                let divisor = 10_i128.pow(exponent.parse().expect("an exponent"));
                assert_eq!(units(mantissa) % divisor, 0, "{field} is finer than 10^-8");
                units(mantissa) / divisor
            }
            None => units(field),
        },
    }
}

/// Returns the hour of a time: `2019-10-22 08:20:41` is in `2019-10-22T08:00:00Z`.
fn hour(created: &str) -> String {
    assert_eq!(created.len(), "2019-10-22 08:20:41".len(), "{created:?} has a zone or fractions");
    format!("{}T{}:00:00Z", &created[..10], &created[11..13])
}

fn number(field: &str) -> u64 {
    field.parse().unwrap_or_else(|_| panic!("{field:?} is not an id"))
}

struct Columns {
    created: usize,
    id: usize,
    player: usize,
    game: usize,
    money: [usize; 4],
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Self {
        let column = |name| header.iter().position(|title| title == name).expect(name);
        Self {
            created: column("created_timestamp"),
            id: column("game_instance_id"),
            player: column("user_id"),
            game: column("game_id"),
            money: ["real_amount_bet", "bonus_amount_bet", "real_amount_win", "bonus_amount_win"].map(column),
        }
    }

    fn id(&self, record: &csv::StringRecord) -> u64 {
        number(record.get(self.id).expect("an id"))
    }
}
