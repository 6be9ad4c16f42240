//! Dates: days since 1970-01-01, in the years of ClickHouse's `Date32`.

use std::ops::RangeInclusive;

use chrono::DateTime;

use super::timestamp;
use super::value::ValueError;

/// 1900-01-01 to 2299-12-31.
pub const RANGE: RangeInclusive<i32> = -25_567..=120_529;

/// Parses `2019-10-22` or `2019/10/22`.
///
/// # Errors
/// Not a date of the calendar, or before 1900 or after 2299.
pub fn parse(text: &[u8]) -> Result<i32, ValueError> {
    let days = timestamp::parse_date(text).ok_or(ValueError::NotADate)?;
    i32::try_from(days).ok().filter(|days| RANGE.contains(days)).ok_or(ValueError::DateOutOfRange)
}

/// Writes a date as `2019-10-22`.
pub fn format(days: i32) -> String {
    DateTime::from_timestamp(i64::from(days) * 86_400, 0)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_back_as_they_are_written_and_the_range_is_that_of_date32() {
        for days in [*RANGE.start(), -1, 0, 18_000, *RANGE.end()] {
            assert_eq!(parse(format(days).as_bytes()), Ok(days));
        }
        assert_eq!(
            (format(*RANGE.start()), format(*RANGE.end())),
            ("1900-01-01".into(), "2299-12-31".into())
        );
        assert_eq!(parse(b"2019/10/22"), Ok(18_191));
        for text in ["", "2019-02-29", "22.10.2019", "2019-10-22 08:20:41", "20191022", "2019-10/22"] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::NotADate), "{text}");
        }
        for text in ["1899-12-31", "2300-01-01"] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::DateOutOfRange), "{text}");
        }
    }
}
