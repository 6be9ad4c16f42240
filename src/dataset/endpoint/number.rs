//! Numbers as their digits: exact for every width, and compared without a float.

use std::cmp::Ordering;
use std::fmt;

/// Most characters of a number: more than 256 bits need.
const MAX_CHARACTERS: usize = 160;

/// A decimal number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// Without zeros at its beginning; empty for 0.
    whole: String,
    /// Without zeros at its end.
    fraction: String,
}

impl Number {
    /// Reads digits with an optional sign and decimal point. There are no exponents.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CHARACTERS {
            return None;
        }
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        })
    }

    pub fn whole(number: u64) -> Self {
        let whole = if number == 0 { String::new() } else { number.to_string() };
        Self { is_negative: false, whole, fraction: String::new() }
    }

    /// Digits before the decimal point, and after it.
    pub fn digits(&self) -> (usize, usize) {
        (self.whole.len(), self.fraction.len())
    }

    /// Compares without the sign.
    fn magnitude(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        whole.then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        write!(f, "{sign}{whole}")?;
        if self.fraction.is_empty() { Ok(()) } else { write!(f, ".{}", self.fraction) }
    }
}

/// Returns the smallest and the largest whole number of a width, as ClickHouse's Int and UInt types have them.
pub fn range(is_signed: bool, bits: u16) -> (Number, Number) {
    let whole = |is_negative, whole: String| Number { is_negative, whole, fraction: String::new() };
    let zero = || whole(false, String::new());
    match (is_signed, bits) {
        (true, 8..=128) => {
            let largest = i128::MAX >> (128 - bits);
            (whole(true, (largest as u128 + 1).to_string()), whole(false, largest.to_string()))
        }
        (false, 8..=128) => (zero(), whole(false, (u128::MAX >> (128 - bits)).to_string())),
        (true, _) => (whole(true, SIGNED_256.0.to_owned()), whole(false, SIGNED_256.1.to_owned())),
        (false, _) => (zero(), whole(false, UNSIGNED_256.to_owned())),
    }
}

/// 2^255 and the number before it.
const SIGNED_256: (&str, &str) = (
    "57896044618658097711785492504343953926634992332820282019728792003956564819968",
    "57896044618658097711785492504343953926634992332820282019728792003956564819967",
);

/// 2^256 - 1.
const UNSIGNED_256: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_digits_with_a_sign_and_a_point_are_numbers() {
        for (text, shown) in [("0", "0"), ("-0.0", "0"), ("+007.50", "7.5"), ("-12", "-12"), ("0.1", "0.1")] {
            assert_eq!(Number::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "-", ".", ".5", "5.", "1e5", "0x1", "1_000", " 1", "1 ", "--1", "١", "nan", "1.2.3"]
        {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
        assert_eq!(Number::parse(&"9".repeat(200)), None);
    }

    #[test]
    fn ranges_are_those_of_the_types() {
        let shown = |(least, most): (Number, Number)| (least.to_string(), most.to_string());
        assert_eq!(shown(range(true, 8)), ("-128".to_owned(), "127".to_owned()));
        assert_eq!(shown(range(false, 64)), ("0".to_owned(), u64::MAX.to_string()));
        assert_eq!(shown(range(true, 128)), (i128::MIN.to_string(), i128::MAX.to_string()));
        assert_eq!(shown(range(false, 128)).1, u128::MAX.to_string());
        assert_eq!(range(false, 256).1.digits().0, 78);
    }

    proptest! {
        #[test]
        fn numbers_compare_like_integers(one: i128, other: i128) {
            let number = |value: i128| Number::parse(&value.to_string()).unwrap();
            prop_assert_eq!(number(one).cmp(&number(other)), one.cmp(&other));
        }

        #[test]
        fn fractions_compare_like_hundredths(one in -100_000_i32..100_000, other in -100_000_i32..100_000) {
            let number = |value: i32| {
                let sign = if value < 0 { "-" } else { "" };
                Number::parse(&format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100)).unwrap()
            };
            prop_assert_eq!(number(one).cmp(&number(other)), one.cmp(&other));
        }
    }
}
