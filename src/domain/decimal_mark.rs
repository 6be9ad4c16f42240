//! Amounts whose decimal mark is a comma: `1.234,5` is 1234.5, and `1.000` is 1000.
//!
//! A file has one decimal mark. `1.000` is a different amount with each of them. Any other text shows which mark its file has:
//! [`shows_comma`], [`is_ambiguous`].

use super::value::ValueError;
use super::{double, money};

/// Longest amount with a decimal comma, in characters.
const MAX_LENGTH: usize = 128;

/// The mark before the fraction of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalMark {
    /// `1234.5`. No thousands separators.
    Point,
    /// `1234,5` or `1.234,5`.
    Comma,
}

impl DecimalMark {
    /// Returns the mark with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Point, Self::Comma].into_iter().find(|mark| mark.name() == name)
    }

    /// Returns its name in the API and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Comma => "comma",
        }
    }
}

/// The parts of an amount with a decimal comma.
struct Parts<'a> {
    sign: &'a [u8],
    /// Digits, with or without points between groups of three.
    whole: &'a [u8],
    /// None: there is no comma.
    fraction: Option<&'a [u8]>,
    /// With its `E`; may be empty.
    exponent: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits an amount into its parts. Points are only valid between groups of three digits, before the comma, and without an exponent;
    /// the first group must not begin with 0. None: not an amount.
    fn of(text: &'a [u8]) -> Option<Self> {
        let (sign, unsigned) = text.split_at(usize::from(matches!(text, [b'-' | b'+', ..])));
        let at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(unsigned.len());
        let (mantissa, exponent) = unsigned.split_at(at);
        let mut halves = mantissa.splitn(2, |byte| *byte == b',');
        let (whole, fraction) = (halves.next()?, halves.next());
        let is_grouped = whole.contains(&b'.');
        let is_whole =
            if is_grouped { exponent.is_empty() && has_thousands(whole, b'.') } else { are_digits(whole) };
        let has_digits = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
        let is_amount = is_whole && fraction.is_none_or(are_digits) && has_digits;
        is_amount.then_some(Self { sign, whole, fraction, exponent })
    }
}

/// Parses `1234,5`, `-1.234.567,89`, `1,5E-05` into the amount times 10^`scale`, as [`money::parse`] does.
///
/// # Errors
/// Not such an amount, a digit beyond the scale that is not zero, or 10^(`precision` - `scale`) and more.
pub fn parse_comma(text: &[u8], precision: u32, scale: u32) -> Result<i128, ValueError> {
    with_point(text, |plain| money::parse(plain, precision, scale))
}

/// Parses `1234,5`, `-1.234.567,89`, `1,5E-05` into a floating-point number, as [`double::parse`] does.
///
/// # Errors
/// Not such a number, or too large.
pub fn parse_comma_double(text: &[u8]) -> Result<f64, ValueError> {
    with_point(text, double::parse)
}

/// Parses an amount with a decimal comma, which `parse` gets with a decimal point and without thousands separators.
fn with_point<T>(text: &[u8], parse: impl Fn(&[u8]) -> Result<T, ValueError>) -> Result<T, ValueError> {
    let parts = Parts::of(text).filter(|_| text.len() <= MAX_LENGTH).ok_or(ValueError::NotACommaDecimal)?;
    let mut plain = [0; MAX_LENGTH];
    let whole = parts.whole.iter().filter(|byte| **byte != b'.');
    let fraction = parts.fraction.map(|digits| b".".iter().chain(digits)).into_iter().flatten();
    let bytes = parts.sign.iter().chain(whole).chain(fraction).chain(parts.exponent);
    let length = plain.iter_mut().zip(bytes).map(|(place, byte)| *place = *byte).count();
    parse(plain.get(..length).unwrap_or_default()).map_err(|error| match error {
        ValueError::NotADecimal => ValueError::NotACommaDecimal,
        error => error,
    })
}

/// Says whether an amount can only come from a file with decimal commas: `236,48`, `0,125`, `1.234,5`, `1.234.567`; not `1,000`, whose
/// comma may separate thousands.
pub fn shows_comma(text: &[u8]) -> bool {
    let Some(Parts { whole, fraction, exponent, .. }) = Parts::of(text) else { return false };
    let points = whole.iter().filter(|byte| **byte == b'.').count();
    match fraction {
        None => points > 1,
        Some(_) if points > 0 || !exponent.is_empty() => true,
        Some(fraction) => {
            let may_be_thousands =
                matches!(whole, [b'1'..=b'9', rest @ ..] if rest.len() < 3) && fraction.len() == 3;
            !may_be_thousands && !fraction.is_empty()
        }
    }
}

/// Says whether a text is written like an amount with a decimal comma: `236,48`, `,5`, `5,`, `1.000,5`, `1,5E-05`.
pub fn has_comma_form(text: &[u8]) -> bool {
    Parts::of(text).is_some_and(|parts| parts.fraction.is_some())
}

/// Says whether an amount has different values with the two marks: `1.000` is 1 or 1000.
#[inline]
pub fn is_ambiguous(text: &[u8]) -> bool {
    // Nearly all amounts end here.
    if text.len() < 5 || text.get(text.len() - 4) != Some(&b'.') {
        return false;
    }
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    // With two points it is not an amount with a decimal point.
    unsigned.len() <= "999.999".len() && has_thousands(unsigned, b'.')
}

/// Says whether digits are in groups of three with this mark between them.
fn has_thousands(text: &[u8], mark: u8) -> bool {
    let mut groups = text.split(|byte| *byte == mark);
    let first = groups.next().unwrap_or_default();
    let is_first = matches!(first, [b'1'..=b'9', rest @ ..] if rest.len() < 3 && are_digits(rest));
    let mut count = 0;
    is_first && groups.inspect(|_| count += 1).all(|group| group.len() == 3 && are_digits(group)) && count > 0
}

fn are_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Result<i128, ValueError> {
        parse_comma(text.as_bytes(), 28, 8)
    }

    #[test]
    fn a_comma_stands_before_the_fraction_and_points_between_thousands() {
        for (text, plain) in [
            ("236,48", "236.48"),
            ("1.000", "1000"),
            ("-1.234.567,89", "-1234567.89"),
            ("+12", "12"),
            ("0,5", "0.5"),
            (",5", "0.5"),
            ("5,", "5"),
            ("1,5E-05", "0.000015"),
            ("1E2", "100"),
            ("1234567,000000001000", "1234567.000000001"),
        ] {
            assert_eq!(amount(text), money::parse(plain.as_bytes(), 28, 8), "{text}");
        }
        for text in [
            "",
            "-",
            ",",
            "12.34",
            "1.00",
            ".5",
            "0.5",
            "0.100",
            "012.345",
            "1234.567",
            "1.000.00",
            "1,000.50",
            "1,000,000",
            "1.000E3",
            "1,5,5",
            "1 000",
            "1..000",
            "1.000.",
            ".000",
            "1,5x",
            "--1",
            "1,5E",
            "E5",
        ] {
            assert_eq!(amount(text), Err(ValueError::NotACommaDecimal), "{text}");
        }
        assert_eq!(amount(&format!("0,{}", "0".repeat(200))), Err(ValueError::NotACommaDecimal));
        assert_eq!(amount("0,123456789"), Err(ValueError::TooManyDigits));
        assert_eq!(amount("100.000.000.000.000.000.000"), Err(ValueError::DecimalOutOfRange));
    }

    #[test]
    fn what_shows_a_comma_and_what_is_ambiguous_is_never_both() {
        for text in [
            "236,48",
            "0,125",
            "12,3456",
            "1234,567",
            "1.234,5",
            "1.234,567",
            "1.234.567",
            "-5,0",
            "1,5E3",
            ",5",
        ] {
            assert!(shows_comma(text.as_bytes()) && !is_ambiguous(text.as_bytes()), "{text}");
        }
        for text in ["1.000", "-12.345", "+999.999"] {
            assert!(is_ambiguous(text.as_bytes()) && !shows_comma(text.as_bytes()), "{text}");
        }
        for text in [
            "1,000",
            "12,345",
            "1,000,000",
            "1,000.50",
            "5,",
            "0.500",
            "1.5",
            "1234.567",
            "1.00",
            "7",
            "",
            "a,5",
            "12,5x",
        ] {
            assert!(!shows_comma(text.as_bytes()) && !is_ambiguous(text.as_bytes()), "{text}");
        }
    }

    /// Writes an amount as a file with decimal commas does.
    fn written(unscaled: i128, is_grouped: bool) -> String {
        let plain = money::format(unscaled, 8);
        let (sign, plain) = plain.strip_prefix('-').map_or(("", plain.as_str()), |plain| ("-", plain));
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if is_grouped && at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push('.');
            }
            text.push(digit);
        }
        let comma = if fraction.is_empty() { "" } else { "," };
        format!("{sign}{text}{comma}{fraction}")
    }

    proptest! {
        #[test]
        fn what_is_written_with_a_comma_reads_back(
            unscaled in prop_oneof![-(10_i128.pow(28) - 1)..10_i128.pow(28), -(10_i128.pow(13))..10_i128.pow(13)],
            is_grouped: bool,
        ) {
            let text = written(unscaled, is_grouped);
            prop_assert_eq!(amount(&text), Ok(unscaled), "{}", text);
        }

        /// A text that does not show a comma and is not ambiguous is one amount with either mark, or none with one of them.
        #[test]
        fn a_text_with_two_meanings_is_ambiguous(text in "[+-]?[0-9]{0,5}[.,]?[0-9]{0,4}[.,]?[0-9]{0,4}(E-?[0-9])?") {
            let (point, comma) = (money::parse(text.as_bytes(), 28, 8), amount(&text));
            if let (Ok(point), Ok(comma)) = (point, comma) {
                prop_assert_eq!(point != comma, is_ambiguous(text.as_bytes()), "{}", text);
            }
            if shows_comma(text.as_bytes()) {
                prop_assert!(point.is_err(), "{}", text);
            }
            if comma.is_ok() {
                prop_assert_eq!(has_comma_form(text.as_bytes()), text.contains(','), "{}", text);
            }
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (_, _, _) = (parse_comma(&text, 28, 8), shows_comma(&text), is_ambiguous(&text));
        }
    }
}
