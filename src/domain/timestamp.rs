//! Times as exports write them: `2019-10-22 08:20:41`, or ISO 8601 with `T`, a fraction, `Z` or an offset.
//!
//! A time without a zone is UTC, or in the zone that the sender names ([`Clock`]). A fraction finer than a millisecond
//! (or a microsecond, for a column of microseconds) is cut off.
//! Only forms with the year first are read: in `10/11/2019` day and month can be confused.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, SecondsFormat};

use super::offset::{self, two_digits};
use super::time_zone::Clock;
use super::value::ValueError;

/// 1970-01-01T00:00:00.000Z: ClickHouse's `DateTime`, which holds the hour of a round, begins here…
const MIN_MILLIS: i64 = 0;
/// …and ends in the year after this: 2105-12-31T23:59:59.999Z.
const MAX_MILLIS: i64 = 4_291_747_199_999;

/// The times that a round may have, in milliseconds since 1970.
pub const RANGE: RangeInclusive<i64> = MIN_MILLIS..=MAX_MILLIS;

/// Milliseconds in an hour, by which rounds are aggregated.
pub const HOUR_MILLIS: i64 = 3_600_000;

/// Parses a time into milliseconds since 1970-01-01T00:00:00Z; without a zone it is UTC.
///
/// # Errors
/// The text has another form, is not a date of the calendar, or is before 1970 or after 2105.
pub fn parse(text: &[u8]) -> Result<i64, ValueError> {
    parse_local(text, &mut Clock::default())
}

/// Parses a time as [`parse`] does; without a zone it is a time of this clock.
///
/// # Errors
/// As [`parse`]; or the clock showed this time twice, or never.
#[inline]
pub fn parse_local(text: &[u8], clock: &mut Clock) -> Result<i64, ValueError> {
    let millis = match parse_plain(text) {
        Some(local) => clock.to_utc(local)?,
        None => parse_any_to_utc(text, clock)?.div_euclid(1000),
    };
    if is_in_range(millis) { Ok(millis) } else { Err(ValueError::TimestampOutOfRange) }
}

/// Parses a time as [`parse_local`] does, into microseconds.
///
/// # Errors
/// As [`parse_local`].
#[inline]
pub fn parse_local_micros(text: &[u8], clock: &mut Clock) -> Result<i64, ValueError> {
    let micros = match parse_plain(text) {
        Some(local) => clock.to_utc(local)? * 1000,
        None => parse_any_to_utc(text, clock)?,
    };
    if is_in_range_micros(micros) { Ok(micros) } else { Err(ValueError::TimestampOutOfRange) }
}

/// Parses any form of a time into microseconds.
fn parse_any_to_utc(text: &[u8], clock: &mut Clock) -> Result<i64, ValueError> {
    match parse_any(text).ok_or_else(|| cause(text))? {
        (local, None) => Ok(clock.to_utc(local.div_euclid(1000))? * 1000 + local.rem_euclid(1000)),
        (local, Some(minutes)) => Ok(local - minutes * 60_000_000),
    }
}

/// Says why a text is not a time.
#[cold]
fn cause(text: &[u8]) -> ValueError {
    if parse_date(text).is_some() {
        return ValueError::NoTimeOfDay;
    }
    let mut parts = text.split(|byte| matches!(byte, b'.' | b'/' | b'-')).map(|part| {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits, digits == part.len())
    });
    match (parts.next(), parts.next(), parts.next()) {
        (Some((1..=2, true)), Some((1..=2, true)), Some((2 | 4, _))) => ValueError::YearNotFirst,
        _ => ValueError::NotATimestamp,
    }
}

/// Says whether a time is in the years 1970 to 2105.
#[inline]
pub fn is_in_range(millis: i64) -> bool {
    RANGE.contains(&millis)
}

/// Says whether a time in microseconds is in the years 1970 to 2105.
#[inline]
pub fn is_in_range_micros(micros: i64) -> bool {
    is_in_range(micros.div_euclid(1000))
}

/// Writes a time as RFC 3339 in UTC, with milliseconds only where there are any.
pub fn format(millis: i64) -> String {
    let precision = if millis % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    DateTime::from_timestamp_millis(millis)
        .map_or_else(String::new, |time| time.to_rfc3339_opts(precision, true))
}

/// Parses `2019-10-22 08:20:41`, the form of nearly all times, and no other.
#[inline]
fn parse_plain(text: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2] = text else {
        return None;
    };
    let mut digits = [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2];
    let mut all_digits = true;
    for digit in &mut digits {
        *digit = digit.wrapping_sub(b'0');
        all_digits &= *digit < 10;
    }
    let pair =
        |at: usize| digits.get(at..at + 2).map_or(0, |pair| i64::from(pair[0]) * 10 + i64::from(pair[1]));
    let (year, month, day) = (pair(0) * 100 + pair(2), pair(4), pair(6));
    let (hour, minute, second) = (pair(8), pair(10), pair(12));
    let is_valid = all_digits
        & (1..=12).contains(&month)
        & (1..=28).contains(&day)
        & (hour < 24)
        & (minute < 60)
        & (second < 60);
    is_valid.then(|| ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
///
/// Source: <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Parses any form. Returns the time as it is written, in microseconds, and its minutes east of UTC if it names them.
fn parse_any(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = parse_date(date)?;
    let (separator, rest) = rest.split_first()?;
    if !matches!(separator, b' ' | b'T' | b't') {
        return None;
    }
    let (time_micros, zone) = parse_time(rest)?;
    // SQL Server, Ruby and Snowflake write a blank before the zone.
    let zone = match zone.trim_ascii_start() {
        [] => None,
        zone => Some(parse_zone(zone)?),
    };
    Some((days * 86_400_000_000 + time_micros, zone))
}

/// `2019-10-22` or `2019/10/22` as days since 1970-01-01.
pub(super) fn parse_date(text: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, mark, m1, m2, same_mark, d1, d2] = text else { return None };
    if !matches!(mark, b'-' | b'/') || mark != same_mark {
        return None;
    }
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    Some(i64::from(date.to_epoch_days()))
}

/// `08:20`, `8:20`, `08:20:41` or `08:20:41.123456` as microseconds, and what follows it.
fn parse_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = match text {
        [h1, h2, b':', rest @ ..] => (two_digits(*h1, *h2)?, rest),
        // Spreadsheets drop the zero.
        [h, b':', rest @ ..] => (two_digits(b'0', *h)?, rest),
        _ => return None,
    };
    let [m1, m2, rest @ ..] = rest else { return None };
    let minute = two_digits(*m1, *m2)?;
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two_digits(*s1, *s2)?, rest),
        _ => (0, rest),
    };
    let (fraction, rest) = match rest {
        [b'.' | b',', rest @ ..] => parse_fraction(rest)?,
        _ => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction, rest))
}

/// One to nine fraction digits as whole microseconds, and what follows them.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (fraction, rest) = text.split_at(digits);
    let micros =
        (0..6).fold(0, |micros, at| micros * 10 + fraction.get(at).map_or(0, |byte| i64::from(byte - b'0')));
    Some((micros, rest))
}

/// Reads `Z`, `UTC`, `GMT` or an offset as minutes east of UTC. Go writes both: `+0000 UTC`.
fn parse_zone(text: &[u8]) -> Option<i64> {
    let (rest, name) = text.split_at(text.len().saturating_sub(3));
    let is_utc = name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"GMT");
    match (text, rest.trim_ascii_end()) {
        ([b'Z' | b'z'], _) => Some(0),
        (_, []) if is_utc => Some(0),
        (_, rest) if is_utc => offset::parse(rest).filter(|minutes| *minutes == 0),
        _ => offset::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;
    use proptest::prelude::*;

    #[test]
    fn all_written_forms_name_the_same_moment() {
        let expected = Ok(1_571_732_441_000);
        for text in [
            "2019-10-22 08:20:41",
            "2019-10-22T08:20:41",
            "2019-10-22T08:20:41Z",
            "2019-10-22 08:20:41.000",
            "2019-10-22T08:20:41.000999+00:00",
            "2019-10-22T10:20:41+02:00",
            "2019-10-22T10:20:41+0200",
            "2019-10-22 03:50:41-04:30",
            // SQL Server's datetimeoffset.
            "2019-10-22 10:20:41.0001234 +02:00",
            "2019-10-22 08:20:41.000123456 +00:00",
            // Ruby, Snowflake, BigQuery, Go, spreadsheets of several languages.
            "2019-10-22 10:20:41 +0200",
            "2019-10-22 08:20:41 UTC",
            "2019-10-22 08:20:41.000 utc",
            "2019-10-22 08:20:41GMT",
            "2019-10-22 08:20:41 +0000 UTC",
            "2019-10-22t08:20:41z",
            "2019-10-22T08:20:41,000Z",
            "2019/10/22 08:20:41",
            "2019/10/22 8:20:41",
            "2019-10-22 8:20:41",
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse(b"2019-10-22 08:20"), Ok(1_571_732_400_000));
    }

    #[test]
    fn impossible_times_are_refused() {
        for text in [
            "",
            "2019-02-29 00:00:00",
            "2019-13-01 00:00:00",
            "2019-10-22 24:00:00",
            "2019-10-22 08:60:00",
            "2019-10-22 08:20:60",
            "2019-10-22 08:20:41 CET",
            "2019-10-22 08:20:41.",
            "2019-10-22 08:20:41.1234567890",
            "2019-10-22 08:20:41 +02:00 UTC",
            "2019-10-22 08:20:41 02:00",
            "2019-10-22 08:20:41 UTC+2",
            "2019-10-22 8:20:41 PM",
            "2019-10/22 08:20:41",
            "1.2",
            "1.2.345",
            "1.x.2025",
            "2019-10-22 :20:41",
            "1571732441",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::NotATimestamp), "{text}");
        }
        for text in
            ["02.05.2025", "22.10.2019 08:20:41", "10/11/2019 08:20", "1-2-25 8:20:41", "1/2/2025T08:20:41Z"]
        {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::YearNotFirst), "{text}");
        }
        for text in ["2019-10-22", "2019/10/22"] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::NoTimeOfDay), "{text}");
        }
        for text in ["1969-12-31 23:59:59", "2106-01-01 00:00:00", "1970-01-01T00:00:00+01:00"] {
            assert_eq!(parse(text.as_bytes()), Err(ValueError::TimestampOutOfRange), "{text}");
        }
    }

    #[test]
    fn microseconds_are_kept_where_the_column_has_them() {
        let micros = |text: &str| parse_local_micros(text.as_bytes(), &mut Clock::default());
        assert_eq!(micros("2019-10-22 08:20:41"), Ok(1_571_732_441_000_000));
        assert_eq!(micros("2019-10-22T10:20:41.0001239+02:00"), Ok(1_571_732_441_000_123));
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Err(ValueError::TimestampOutOfRange));
        assert_eq!(micros("2105-12-31T23:59:59.999999Z"), Ok(MAX_MILLIS * 1000 + 999));
        let mut malta = Clock::of(crate::domain::time_zone::TimeZone::of_name("Europe/Malta"));
        let summer = parse_local_micros(b"2019-07-01 10:00:00.000007", &mut malta);
        assert_eq!(summer, Ok(1_561_968_000_000_007));
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(millis in MIN_MILLIS..=MAX_MILLIS, minutes in -1439_i32..=1439) {
            let zone = FixedOffset::east_opt(minutes * 60).unwrap();
            let time = DateTime::from_timestamp_millis(millis).unwrap().with_timezone(&zone);
            prop_assert_eq!(parse(time.to_rfc3339().as_bytes()), Ok(millis));
            prop_assert_eq!(parse(format(millis).as_bytes()), Ok(millis));
            let micros = parse_local_micros(time.to_rfc3339().as_bytes(), &mut Clock::default());
            prop_assert_eq!(micros, Ok(millis * 1000));
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }
    }
}
