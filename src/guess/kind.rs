//! The type of a column, chosen by what its values show.

use super::evidence::Evidence;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::money::MAX_PRECISION;

/// Rows for each symbol of an enum: a text with fewer repetitions stays a text.
const ROWS_PER_SYMBOL: u64 = 8;

/// Milliseconds since 1970 of the years 2000 and 2100: numbers that are times.
const EPOCH_TIMES: std::ops::RangeInclusive<i64> = 946_684_800_000..=4_102_444_800_000;

/// Ends of names of times.
const NAMES_OF_TIMES: [&str; 6] = ["timestamp", "time", "_at", "date", "_ms", "_millis"];

/// Precisions of decimals that ClickHouse stores in 8 and in 16 bytes.
const SHORT: u32 = 18;

/// Digits before the point that a decimal has at least, besides those that were seen.
const SPARE_DIGITS: u32 = 3;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guessed {
    Boolean,
    Long { minimum: Option<i64> },
    Decimal { precision: u32, scale: u32 },
    Double,
    Uuid,
    Date,
    Millis,
    Micros,
    Enum(Vec<String>),
    Text { has_lines: bool },
}

impl Guessed {
    /// Returns a type that accepts more. None: no type does.
    pub(super) fn wider(&self) -> Option<Self> {
        match self {
            Self::Text { has_lines: true } => None,
            Self::Decimal { precision, scale } if *precision < MAX_PRECISION => {
                Some(Self::Decimal { precision: MAX_PRECISION, scale: *scale })
            }
            Self::Decimal { .. } => Some(Self::Double),
            Self::Long { minimum: Some(_) } => Some(Self::Long { minimum: None }),
            Self::Long { minimum: None } => Some(Self::Decimal { precision: MAX_PRECISION, scale: 0 }),
            _ => Some(Self::Text { has_lines: true }),
        }
    }

    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::Date | Self::Millis | Self::Micros)
    }
}

/// Chooses a type. None: values are of several kinds, or cannot be stored in a column.
pub(super) fn choose(evidence: &Evidence, name: &str, mark: DecimalMark) -> Option<Guessed> {
    if evidence.values == 0 {
        return Some(Guessed::Text { has_lines: false });
    }
    // An empty text in JSON is null in a column of any other type: it would be lost.
    let is_number = !evidence.has_leading_zeros;
    let is_flag = ["is_", "has_"].iter().any(|start| name.starts_with(start));
    if evidence.are_booleans && (!evidence.are_longs || is_flag) {
        return Some(Guessed::Boolean);
    }
    if is_epoch_time(evidence, name) {
        return Some(Guessed::Millis);
    }
    if evidence.are_longs && is_number {
        let minimum = evidence.longs.map_or(0, |(least, _)| least);
        return Some(Guessed::Long { minimum: (minimum >= 0).then_some(0) });
    }
    if let Some(decimal) = decimal(evidence, mark).filter(|_| is_number) {
        return Some(decimal);
    }
    if evidence.are_doubles && is_number && mark == DecimalMark::Point {
        return Some(Guessed::Double);
    }
    match () {
        () if evidence.are_uuids => Some(Guessed::Uuid),
        () if evidence.are_dates => Some(Guessed::Date),
        () if evidence.are_times && evidence.numbers == 0 && evidence.has_micros => Some(Guessed::Micros),
        () if evidence.are_times && evidence.numbers == 0 => Some(Guessed::Millis),
        () => text(evidence),
    }
}

fn text(evidence: &Evidence) -> Option<Guessed> {
    let symbols = evidence.symbols.as_ref().filter(|symbols| {
        evidence.empty_texts == 0 && evidence.values >= symbols.len() as u64 * ROWS_PER_SYMBOL
    });
    match symbols {
        Some(symbols) if evidence.are_texts => Some(Guessed::Enum(symbols.iter().cloned().collect())),
        _ => evidence.are_texts.then_some(Guessed::Text { has_lines: evidence.has_lines }),
    }
}

/// Whether JSON numbers are milliseconds since 1970, by their size and the name of the column.
fn is_epoch_time(evidence: &Evidence, name: &str) -> bool {
    let is_in_range = |(least, most)| EPOCH_TIMES.contains(&least) && EPOCH_TIMES.contains(&most);
    evidence.numbers == evidence.values
        && evidence.are_times
        && evidence.longs.is_some_and(is_in_range)
        && NAMES_OF_TIMES.iter().any(|end| name.ends_with(end))
}

fn decimal(evidence: &Evidence, mark: DecimalMark) -> Option<Guessed> {
    let decimals = evidence.decimals(mark);
    let needed = decimals.whole_digits + decimals.scale;
    let precision = if needed + SPARE_DIGITS <= SHORT { SHORT } else { MAX_PRECISION };
    let is_decimal = decimals.are_all && needed <= MAX_PRECISION;
    is_decimal.then_some(Guessed::Decimal { precision, scale: decimals.scale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time_zone::Clock;
    use crate::ingest::first_rows::Cell;

    fn of_fields(name: &str, fields: &[&str], mark: DecimalMark) -> Option<Guessed> {
        let mut evidence = Evidence::new();
        for field in fields {
            evidence.see(Some(Cell::Field(field.as_bytes())), &mut Clock::default());
        }
        choose(&evidence, name, mark)
    }

    fn of_json(name: &str, values: &[&'static str]) -> Option<Guessed> {
        let mut evidence = Evidence::new();
        for value in values {
            evidence.see(Some(Cell::Json(value)), &mut Clock::default());
        }
        choose(&evidence, name, DecimalMark::Point)
    }

    #[test]
    fn the_narrowest_type_that_accepts_all_fields_is_chosen() {
        let decimal = |precision, scale| Guessed::Decimal { precision, scale };
        for (fields, expected) in [
            (&["1", "20", ""][..], Guessed::Long { minimum: Some(0) }),
            (&["-9223372036854775808", "5"], Guessed::Long { minimum: None }),
            (&["9223372036854775808", "1"], decimal(38, 0)),
            (&["1.5", "12.345", "NaN"], decimal(18, 3)),
            (&["1E-05", "2"], decimal(18, 5)),
            (&["123456789012.123456", "2"], decimal(38, 6)),
            (&["1e30", "0.0000000000000000001"], Guessed::Double),
            (&["true", "False"], Guessed::Boolean),
            (&["007", "012"], Guessed::Text { has_lines: false }),
            (&["8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21"], Guessed::Uuid),
            (&["2024-01-31", "2024/02/01"], Guessed::Date),
            (&["2024-01-31 08:00:00", "2024-01-31T08:00:00.5+02:00"], Guessed::Millis),
            (&["2024-01-31 08:00:00.000001"], Guessed::Micros),
            (&["31.01.2024"], Guessed::Text { has_lines: false }),
            (&["a\nb", "c"], Guessed::Text { has_lines: true }),
            (&["", " "], Guessed::Text { has_lines: false }),
            (&["1", "x"], Guessed::Text { has_lines: false }),
        ] {
            assert_eq!(of_fields("c", fields, DecimalMark::Point), Some(expected), "{fields:?}");
        }
        let fields = ["1,5", "1.234,25"];
        assert_eq!(of_fields("c", &fields, DecimalMark::Comma), Some(decimal(18, 2)));
        assert_eq!(of_fields("c", &fields, DecimalMark::Point), Some(Guessed::Text { has_lines: false }));
        assert_eq!(of_fields("is_paid", &["0", "1"], DecimalMark::Point), Some(Guessed::Boolean));
        let repeated = ["card", "cash"].repeat(8);
        let symbols = Guessed::Enum(vec!["card".to_owned(), "cash".to_owned()]);
        assert_eq!(of_fields("c", &repeated, DecimalMark::Point), Some(symbols));
    }

    #[test]
    fn numbers_and_strings_of_json_are_told_apart() {
        for (name, values, expected) in [
            ("n", &["1", "null"][..], Some(Guessed::Long { minimum: Some(0) })),
            ("price", &["1.50", "\"2.5\""], Some(Guessed::Decimal { precision: 18, scale: 2 })),
            ("sent_at", &["1572000000000", "1572000000001"], Some(Guessed::Millis)),
            ("count", &["1572000000000"], Some(Guessed::Long { minimum: Some(0) })),
            ("at", &["\"2024-01-31T08:00:00Z\""], Some(Guessed::Millis)),
            ("ok", &["true", "false"], Some(Guessed::Boolean)),
            ("text", &["\"a\"", "\"\""], Some(Guessed::Text { has_lines: false })),
            ("text", &["\"a\\nb\""], Some(Guessed::Text { has_lines: true })),
            ("mixed", &["\"a\"", "1"], None),
            ("list", &["[1]", "[2]"], None),
        ] {
            assert_eq!(of_json(name, values), expected, "{name} {values:?}");
        }
    }

    #[test]
    fn every_type_can_be_widened_to_one_that_accepts_all_texts() {
        let mut kind = Guessed::Long { minimum: Some(0) };
        let mut steps = 0;
        while let Some(wider) = kind.wider() {
            (kind, steps) = (wider, steps + 1);
        }
        assert_eq!((kind, steps), (Guessed::Text { has_lines: true }, 4));
    }
}
