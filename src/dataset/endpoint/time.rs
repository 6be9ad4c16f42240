//! Dates and times of requests, as texts that ClickHouse reads.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};

/// The years that `Date32` and `DateTime64` have.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2299;

/// The notations of a time without a zone, which is UTC.
const WITHOUT_ZONE: [&str; 4] =
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// Reads a date. `is_wide`: of `Date32`.
pub(super) fn date(text: &str, is_wide: bool) -> Option<String> {
    let date = day(text)?;
    let is_known = match is_wide {
        true => YEARS.contains(&date.year()),
        // The last day of a `Date` is 2149-06-06.
        false => {
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            u16::try_from(days).is_ok()
        }
    };
    is_known.then(|| date.format("%Y-%m-%d").to_string())
}

/// Reads a time, in whole seconds, or with digits after the decimal point for `DateTime64`. A date is its first moment.
pub(super) fn time(text: &str, precision: Option<u8>) -> Option<String> {
    let time = moment(text)?;
    let nanos = time.nanosecond();
    // A leap second.
    if nanos >= 1_000_000_000 {
        return None;
    }
    let Some(precision) = precision else {
        u32::try_from(time.and_utc().timestamp()).ok()?;
        return (nanos == 0).then(|| time.format("%Y-%m-%d %H:%M:%S").to_string());
    };
    // With nine digits the range is smaller.
    if !YEARS.contains(&time.year()) || (precision == 9 && time.and_utc().timestamp_nanos_opt().is_none()) {
        return None;
    }
    let digits = format!("{nanos:09}");
    let (kept, cut) = digits.split_at_checked(precision.into())?;
    let point = if precision == 0 { "" } else { "." };
    cut.bytes()
        .all(|digit| digit == b'0')
        .then(|| format!("{}{point}{kept}", time.format("%Y-%m-%d %H:%M:%S")))
}

fn moment(text: &str) -> Option<NaiveDateTime> {
    if let Some(day) = day(text) {
        return day.and_hms_opt(0, 0, 0);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc).naive_utc());
    }
    WITHOUT_ZONE.iter().find_map(|notation| NaiveDateTime::parse_from_str(text, notation).ok())
}

fn day(text: &str) -> Option<NaiveDate> {
    (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_utc_and_never_rounded() {
        for (text, precision, written) in [
            ("2019-10-22", None, Some("2019-10-22 00:00:00")),
            ("2019-10-22T08:20:41Z", None, Some("2019-10-22 08:20:41")),
            ("2019-10-22T08:20:41+02:00", None, Some("2019-10-22 06:20:41")),
            ("2019-10-22 08:20:41", Some(3), Some("2019-10-22 08:20:41.000")),
            ("2019-10-22T08:20", Some(0), Some("2019-10-22 08:20:00")),
            ("2019-10-22T08:20:41.5Z", Some(3), Some("2019-10-22 08:20:41.500")),
            ("2019-10-22T08:20:41.123456Z", Some(6), Some("2019-10-22 08:20:41.123456")),
            ("2019-10-22T08:20:41.1234Z", Some(3), None),
            ("2019-10-22T08:20:41.5Z", None, None),
            ("1900-01-01", Some(3), Some("1900-01-01 00:00:00.000")),
            ("1900-01-01", None, None),
            ("2106-02-08", None, None),
            ("2300-01-01", Some(3), None),
            ("2299-01-01", Some(9), None),
            ("2019-02-30", None, None),
            ("2016-12-31T23:59:60Z", Some(3), None),
            ("1571731241", None, None),
            ("now", None, None),
            ("", None, None),
            ("2019-10-22' OR 1=1", None, None),
        ] {
            assert_eq!(time(text, precision).as_deref(), written, "{text} {precision:?}");
        }
    }

    #[test]
    fn dates_have_the_ranges_of_their_types() {
        for (text, is_wide, is_read) in [
            ("1970-01-01", false, true),
            ("1969-12-31", false, false),
            ("1969-12-31", true, true),
            ("2149-06-06", false, true),
            ("2149-06-07", false, false),
            ("2299-12-31", true, true),
            ("2300-01-01", true, false),
            ("2019-1-1", false, false),
            ("22.10.2019", false, false),
        ] {
            assert_eq!(date(text, is_wide), is_read.then(|| text.to_owned()), "{text}");
        }
    }
}
