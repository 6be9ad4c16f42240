//! Amounts of money, as different exports write them.

use std::fmt::Write as _;

/// Units of 10^-8 in one unit of currency: the smallest unit that is valid.
pub(super) const ONE: u64 = 100_000_000;

/// Below this, a float export writes an exponent: `0.0001`, but `1E-05`.
const LEAST_PLAIN: u64 = ONE / 10_000;

/// The value of one money column in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// Units of 10^-8.
    Units(u64),
    /// No amount, as the export spells it.
    Null(&'static str),
}

impl Amount {
    /// Writes the amount like an export: as short as possible, without trailing zeros.
    pub(super) fn text(self, text: &mut String) -> &str {
        text.clear();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Null(spelling) => text.write_str(spelling),
            Self::Units(units) if 0 < units && units < LEAST_PLAIN => scientific(text, units),
            Self::Units(units) => plain(text, units),
        };
        text
    }
}

fn plain(text: &mut String, units: u64) -> std::fmt::Result {
    write!(text, "{}", units / ONE)?;
    if !units.is_multiple_of(ONE) {
        write!(text, ".{:08}", units % ONE)?;
        trim_zeros(text);
    }
    Ok(())
}

fn scientific(text: &mut String, units: u64) -> std::fmt::Result {
    let power = units.ilog10();
    let first = 10_u64.pow(power);
    write!(text, "{}", units / first)?;
    if !units.is_multiple_of(first) {
        let digits = power as usize;
        write!(text, ".{:0digits$}", units % first)?;
        trim_zeros(text);
    }
    write!(text, "E-{:02}", 8 - power)
}

fn trim_zeros(text: &mut String) {
    let length = text.trim_end_matches('0').len();
    text.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(units: u64) -> String {
        Amount::Units(units).text(&mut String::new()).to_owned()
    }

    #[test]
    fn amounts_are_written_without_trailing_zeros_and_small_ones_with_an_exponent() {
        assert_eq!(written(0), "0");
        assert_eq!(written(10_000_000), "0.1");
        assert_eq!(written(12 * ONE + 1), "12.00000001");
        assert_eq!(written(120 * ONE), "120");
        assert_eq!(written(LEAST_PLAIN), "0.0001");
        assert_eq!(written(1_000), "1E-05");
        assert_eq!(written(9_050), "9.05E-05");
        assert_eq!(written(1), "1E-08");
    }
}
