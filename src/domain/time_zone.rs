//! The time zone of times that are written without one.
//!
//! Names and rules are those of the IANA time zone database in the binary. The machine's own database is not used, so that all
//! servers read a file in the same way.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone as Rules, TimeZoneDatabase};

use super::offset;
use super::value::ValueError;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A placeholder of the database for machines whose zone is not set yet. It is no place's time.
const UNSET: &str = "Factory";

/// The zone of times whose sender names none.
const UTC: &str = "UTC";

/// A zone of the IANA database, or a fixed offset from UTC.
#[derive(Clone, Debug)]
pub struct TimeZone {
    name: Arc<str>,
    rules: Rules,
}

impl PartialEq for TimeZone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl TimeZone {
    /// Finds a zone: `Europe/Malta` in any case, `UTC`, or an offset such as `+02:00`.
    pub fn of_name(name: &str) -> Option<Self> {
        if let Some(minutes) = offset::parse(name.as_bytes()) {
            let seconds = i32::try_from(minutes * 60).ok()?;
            let rules = Rules::fixed(Offset::from_seconds(seconds).ok()?);
            return Some(Self { name: offset::format(seconds).into(), rules });
        }
        let rules = DATABASE.get(name).ok()?;
        let name = rules.iana_name().filter(|name| *name != UNSET)?.into();
        Some(Self { name, rules })
    }

    /// Returns the name as the database writes it, or the offset.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says whether two names in the ledger stand for the same zone; an empty one stands for UTC.
    pub fn is_same(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|name| if name.is_empty() { UTC } else { name });
        one == other
    }
}

/// Turns local times of one zone into UTC. It remembers the span around the last time in which the offset does not change: the rows of
/// a file are close together, and most then cost a comparison.
#[derive(Clone, Debug)]
pub struct Clock {
    /// None: UTC.
    zone: Option<TimeZone>,
    /// Local times, in milliseconds, at which the offset certainly is this one.
    span: Range<i64>,
    offset_millis: i64,
}

impl Default for Clock {
    /// UTC.
    fn default() -> Self {
        Self { zone: None, span: i64::MIN..i64::MAX, offset_millis: 0 }
    }
}

impl Clock {
    /// Makes a clock of this zone; without one it shows UTC.
    pub fn of(zone: Option<TimeZone>) -> Self {
        match zone {
            None => Self::default(),
            zone => Self { zone, span: 0..0, offset_millis: 0 },
        }
    }

    /// Returns the UTC time of a local time, both in milliseconds since 1970.
    ///
    /// # Errors
    /// The clocks showed this time twice, or never.
    #[inline]
    pub fn to_utc(&mut self, local: i64) -> Result<i64, ValueError> {
        if self.span.contains(&local) { Ok(local - self.offset_millis) } else { self.look_up(local) }
    }

    fn look_up(&mut self, local: i64) -> Result<i64, ValueError> {
        let Some(TimeZone { rules, .. }) = &self.zone else { return Ok(local) };
        let shown = Timestamp::from_millisecond(local).map_err(|_| ValueError::TimestampOutOfRange)?;
        let offset = match rules.to_ambiguous_timestamp(Offset::UTC.to_datetime(shown)).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, after } => {
                return Err(ValueError::AmbiguousTime { first: before.seconds(), second: after.seconds() });
            }
            AmbiguousOffset::Gap { before, after } => {
                return Err(ValueError::NonexistentTime { before: before.seconds(), after: after.seconds() });
            }
        };
        let utc = local - millis(offset);
        self.span = span(rules, utc, offset).unwrap_or(0..0);
        self.offset_millis = millis(offset);
        Ok(utc)
    }
}

/// The local times around a moment in which its offset is the only one. None at the ends of the calendar.
fn span(rules: &Rules, utc: i64, offset: Offset) -> Option<Range<i64>> {
    // The transition that begins with this very moment is one before it.
    let before = rules.preceding(Timestamp::from_millisecond(utc + 1).ok()?).next();
    let after = rules.following(Timestamp::from_millisecond(utc).ok()?).next();
    let start = match before {
        None => i64::MIN,
        Some(transition) => {
            let at = transition.timestamp().as_millisecond();
            let earlier = rules.to_offset(Timestamp::from_millisecond(at - 1).ok()?);
            at + millis(earlier).max(millis(offset))
        }
    };
    let end = after.map_or(i64::MAX, |transition| {
        transition.timestamp().as_millisecond() + millis(transition.offset()).min(millis(offset))
    });
    Some(start..end)
}

fn millis(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(name: &str) -> Clock {
        Clock::of(Some(TimeZone::of_name(name).unwrap()))
    }

    /// Reads a time without a zone.
    fn local(text: &str) -> i64 {
        crate::domain::timestamp::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_zone_has_its_name_in_any_case_or_an_offset() {
        for (given, name) in [
            ("europe/malta", "Europe/Malta"),
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("+02:00", "+02:00"),
            ("-0330", "-03:30"),
        ] {
            assert_eq!(TimeZone::of_name(given).unwrap().name(), name);
        }
        for unknown in [
            "",
            "Malta",
            "Europe/Atlantis",
            "Etc/Unknown",
            "Factory",
            "factory",
            "../etc/passwd",
            " 02:00",
            "+99:00",
            "+2",
        ] {
            assert_eq!(TimeZone::of_name(unknown), None, "{unknown}");
        }
        assert!(TimeZone::is_same("", "UTC") && !TimeZone::is_same("", "Europe/Malta"));
    }

    #[test]
    fn local_times_of_summer_and_winter_get_their_offsets() {
        let mut malta = clock("Europe/Malta");
        for (written, utc) in [
            ("2019-10-22 10:20:41", "2019-10-22 08:20:41"),
            ("2019-12-22 10:20:41", "2019-12-22 09:20:41"),
            ("2019-10-27 01:59:59", "2019-10-26 23:59:59"),
            ("2019-10-27 03:00:00", "2019-10-27 02:00:00"),
            ("2019-03-31 01:59:59", "2019-03-31 00:59:59"),
            ("2019-03-31 03:00:00", "2019-03-31 01:00:00"),
            ("1975-07-01 12:00:00", "1975-07-01 10:00:00"),
            ("2090-07-01 12:00:00", "2090-07-01 10:00:00"),
        ] {
            assert_eq!(malta.to_utc(local(written)), Ok(local(utc)), "{written}");
        }
        assert_eq!(clock("+05:30").to_utc(local("2019-10-22 13:50:41")), Ok(local("2019-10-22 08:20:41")));
    }

    #[test]
    fn times_that_occur_twice_or_never_are_refused_with_both_offsets() {
        let mut malta = clock("Europe/Malta");
        for twice in ["2019-10-27 02:00:00", "2019-10-27 02:59:59"] {
            let error = malta.to_utc(local(twice)).unwrap_err();
            assert_eq!(error, ValueError::AmbiguousTime { first: 7200, second: 3600 });
            assert!(error.to_string().contains("+02:00") && error.to_string().contains("+01:00"), "{error}");
        }
        for never in ["2019-03-31 02:00:00", "2019-03-31 02:59:59"] {
            let error = malta.to_utc(local(never)).unwrap_err();
            assert_eq!(error, ValueError::NonexistentTime { before: 3600, after: 7200 });
        }
    }

    #[test]
    fn what_is_remembered_of_the_last_time_changes_no_result() {
        const MINUTE: i64 = 60_000;
        for name in [
            "Europe/Malta",
            "America/New_York",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Asia/Kathmandu",
            "Pacific/Apia",
        ] {
            let zone = TimeZone::of_name(name).unwrap();
            let from = Timestamp::from_second(0).unwrap();
            for transition in zone.rules.following(from).take(120) {
                let at = transition.timestamp().as_millisecond() + millis(transition.offset());
                // Warm at noon the day before and the day after, which the change is not part of.
                for warm in [at - 24 * 60 * MINUTE, at + 24 * 60 * MINUTE] {
                    let mut clock = Clock::of(Some(zone.clone()));
                    let _ = clock.to_utc(warm);
                    for minutes in (-26 * 60..=26 * 60).step_by(15) {
                        let local = at + minutes * MINUTE;
                        let alone = Clock::of(Some(zone.clone())).to_utc(local);
                        let mut remembering = clock.clone();
                        assert_eq!(remembering.to_utc(local), alone, "{name}: {local}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_found_again_by_what_the_clocks_showed(seconds in 0_i64..4_291_747_199) {
            let zone = TimeZone::of_name("Europe/Malta").unwrap();
            let moment = Timestamp::from_second(seconds).unwrap();
            let shown = seconds * 1000 + millis(zone.rules.to_offset(moment));
            match Clock::of(Some(zone)).to_utc(shown) {
                Ok(utc) => prop_assert_eq!(utc, seconds * 1000),
                Err(ValueError::AmbiguousTime { first, second }) => {
                    let moments = [first, second].map(|offset| shown / 1000 - i64::from(offset));
                    prop_assert!(moments.contains(&seconds));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
