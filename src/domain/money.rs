//! Money: exact decimals as unscaled integers, never a binary float, never rounded.

use super::value::ValueError;

/// Largest number of digits of an unscaled amount; an `i128` always holds them.
pub const MAX_PRECISION: u32 = 38;

/// Longest amount, in characters, that fits into 64 bits.
const PLAIN_DIGITS: u32 = 18;

/// Returns the largest unscaled amount with this number of digits.
pub fn largest(precision: u32) -> i128 {
    10_i128.pow(precision.min(MAX_PRECISION)) - 1
}

/// Says whether the text is one of the ways to write "no amount".
#[inline]
pub fn is_null(text: &[u8]) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case(b"nan") || text.eq_ignore_ascii_case(b"null")
}

/// Parses `12.5`, `-0.05`, `1E-05` into the amount times 10^`scale`.
///
/// # Errors
/// Not a number, a digit beyond the scale that is not zero, or 10^(`precision` - `scale`) and more.
#[inline]
pub fn parse(text: &[u8], precision: u32, scale: u32) -> Result<i128, ValueError> {
    match parse_plain(text, scale) {
        Some(amount) if precision >= PLAIN_DIGITS + scale => Ok(amount),
        _ => parse_any(text, precision, scale),
    }
}

/// Parses a short amount without sign and exponent, the form of nearly all amounts, in 64 bits. None: another form.
#[inline]
fn parse_plain(text: &[u8], scale: u32) -> Option<i128> {
    if text.is_empty() || text.len() > PLAIN_DIGITS as usize {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut point = None;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let fraction_digits = point.map_or(0, |point| text.len() - point - 1) as u32;
    // A point alone is not a number.
    if point.is_some() && text.len() == 1 {
        return None;
    }
    let power = 10_u64.checked_pow(scale.checked_sub(fraction_digits)?)?;
    Some(i128::from(mantissa) * i128::from(power))
}

fn parse_any(text: &[u8], precision: u32, scale: u32) -> Result<i128, ValueError> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, exponent) = split_exponent(unsigned)?;
    let (mantissa, fraction_digits) = parse_digits(digits)?;
    let shift = exponent - fraction_digits + i64::from(scale);
    let amount = shift_decimal(mantissa, shift)?;
    if amount > largest(precision) {
        return Err(ValueError::DecimalOutOfRange);
    }
    Ok(if negative { -amount } else { amount })
}

/// Writes an unscaled amount as the shortest decimal string: `0.1`, `-12`, `0`.
pub fn format(amount: i128, scale: u32) -> String {
    let digits = format!("{:0width$}", amount.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let fraction = fraction.trim_end_matches('0');
    let sign = if amount < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn split_exponent(text: &[u8]) -> Result<(&[u8], i64), ValueError> {
    let Some(at) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) else {
        return Ok((text, 0));
    };
    let (digits, exponent) = text.split_at(at);
    let exponent = std::str::from_utf8(&exponent[1..]).map_err(|_| ValueError::NotADecimal)?;
    // Five digits are far beyond any amount, and keep the arithmetic below from overflowing.
    let exponent: i32 = exponent.parse().map_err(|_| ValueError::NotADecimal)?;
    Ok((digits, i64::from(exponent.clamp(-99_999, 99_999))))
}

/// Returns the digits as an integer, and how many of them follow the point. Zeros at the end of the fraction are left out: `0.1000…` of
/// any length is 1 and 1.
fn parse_digits(text: &[u8]) -> Result<(i128, i64), ValueError> {
    let mut mantissa: i128 = 0;
    let mut fraction_digits = 0;
    let mut pending_zeros = 0_u32;
    let mut seen_digit = false;
    let mut seen_point = false;
    for &byte in text {
        match byte {
            b'.' if !seen_point => seen_point = true,
            b'0' if seen_point => {
                seen_digit = true;
                pending_zeros += 1;
            }
            b'0'..=b'9' => {
                seen_digit = true;
                let zeros = std::mem::take(&mut pending_zeros);
                mantissa = 10_i128
                    .checked_pow(zeros + 1)
                    .and_then(|power| mantissa.checked_mul(power))
                    .and_then(|shifted| shifted.checked_add(i128::from(byte - b'0')))
                    .ok_or(if seen_point {
                        ValueError::TooManyDigits
                    } else {
                        ValueError::DecimalOutOfRange
                    })?;
                if seen_point {
                    fraction_digits += i64::from(zeros) + 1;
                }
            }
            _ => return Err(ValueError::NotADecimal),
        }
    }
    if seen_digit { Ok((mantissa, fraction_digits)) } else { Err(ValueError::NotADecimal) }
}

fn shift_decimal(mantissa: i128, shift: i64) -> Result<i128, ValueError> {
    if mantissa == 0 {
        return Ok(0);
    }
    let power = u32::try_from(shift.unsigned_abs()).ok().and_then(|shift| 10_i128.checked_pow(shift));
    match (shift >= 0, power) {
        (true, power) => {
            power.and_then(|power| mantissa.checked_mul(power)).ok_or(ValueError::DecimalOutOfRange)
        }
        (false, Some(power)) if mantissa % power == 0 => Ok(mantissa / power),
        (false, _) => Err(ValueError::TooManyDigits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Result<i128, ValueError> {
        parse(text.as_bytes(), 28, 8)
    }

    #[test]
    fn amounts_as_exports_write_them_are_exact() {
        for (text, expected) in [
            ("0.1", 10_000_000),
            ("0", 0),
            ("-0.05", -5_000_000),
            ("+3", 300_000_000),
            ("1E-05", 1_000),
            ("1e2", 10_000_000_000),
            ("1.e0", 100_000_000),
            (".5", 50_000_000),
            ("0.10000000000000000000000000000000000000000000000000000000", 10_000_000),
            ("0e99999999", 0),
            ("100E-10", 1),
        ] {
            assert_eq!(amount(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        for text in
            ["", "-", ".", "e5", "1e", "1e5x", "12,5", "1 000", "0x10", "1..2", "--1", "1e99999999999"]
        {
            assert_eq!(amount(text), Err(ValueError::NotADecimal), "{text}");
        }
        for text in ["0.000000001", "1E-9", "0.30000000000000004", "1E-9999"] {
            assert_eq!(amount(text), Err(ValueError::TooManyDigits), "{text}");
        }
        for text in ["100000000000000000000", "1e20", "1e400", "9999999999999999999999999999999999999999999"]
        {
            assert_eq!(amount(text), Err(ValueError::DecimalOutOfRange), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(unscaled in -(10_i128.pow(28) - 1)..10_i128.pow(28)) {
            prop_assert_eq!(amount(&format(unscaled, 8)), Ok(unscaled));
        }

        #[test]
        fn an_exponent_moves_the_point(unscaled in 0_i128..10_i128.pow(20), exponent in -8_i32..=0) {
            let text = format!("{unscaled}e{exponent}");
            let expected = unscaled * 10_i128.pow(u32::try_from(8 + exponent).unwrap());
            prop_assert_eq!(amount(&text), Ok(expected));
        }

        #[test]
        fn short_amounts_are_parsed_as_long_ones_are(text in "[0-9]{0,12}[.e,]?[0-9]{0,9}") {
            prop_assert_eq!(parse(text.as_bytes(), 28, 8), parse_any(text.as_bytes(), 28, 8));
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&text, 28, 8);
        }
    }
}
