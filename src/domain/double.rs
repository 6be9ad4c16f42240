//! Floating-point numbers: for measurements, never for money.

use super::value::ValueError;

/// Parses `12.5`, `-0.05`, `1E-05` into the nearest number of 64 bits.
///
/// # Errors
/// Not a number (`NaN` and infinities are none), or too large.
pub fn parse(text: &[u8]) -> Result<f64, ValueError> {
    // The standard library also reads names: inf, infinity, nan.
    let has_only_signs_of_numbers =
        text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number = std::str::from_utf8(text).ok().filter(|_| has_only_signs_of_numbers);
    let number: f64 = number.and_then(|text| text.parse().ok()).ok_or(ValueError::NotADecimal)?;
    if number.is_finite() { Ok(number) } else { Err(ValueError::DoubleOutOfRange) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_finite_numbers_are_numbers() {
        for (text, expected) in
            [("12.5", 12.5), ("-0.05", -0.05), ("+3", 3.0), (".5", 0.5), ("5.", 5.0), ("1E-05", 1e-5)]
        {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["", "nan", "NaN", "inf", "-Infinity", "1,5", "0x10", "1 0", "e5", ".", "-"] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::NotADecimal), "{text}");
        }
        assert_eq!(parse(b"1e309"), Err(ValueError::DoubleOutOfRange));
        assert_eq!(parse(b"-1e400"), Err(ValueError::DoubleOutOfRange));
        assert_eq!(parse(b"1e-400"), Ok(0.0));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            prop_assert_eq!(parse(format!("{number:e}").as_bytes()), Ok(number));
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&text);
        }
    }
}
