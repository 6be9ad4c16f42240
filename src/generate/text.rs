//! Numbers and times as text.

use chrono::{DateTime, SecondsFormat};

/// Appends a whole number.
pub(super) fn push_whole(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number of units, of which `10^scale` are one, without zeros at its end.
pub(super) fn push_decimal(out: &mut Vec<u8>, units: u128, scale: u32) {
    let one = 10_u128.pow(scale);
    push_whole(out, units / one);
    let fraction = units % one;
    if fraction == 0 {
        return;
    }
    let digits = scale as usize;
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(fraction);
    out.push(b'.');
    out.resize(out.len() + digits.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text.trim_end_matches('0').as_bytes());
}

/// Writes times as `2026-11-28T08:00:00.000Z`. Keeps the last one.
#[derive(Debug, Default)]
pub(super) struct Clock {
    millis: i64,
    text: String,
}

impl Clock {
    /// Returns the text of a time in milliseconds since 1970.
    pub(super) fn text(&mut self, millis: i64) -> &str {
        if self.text.is_empty() || self.millis != millis {
            let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
            self.text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            self.millis = millis;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_no_zeros_at_their_end() {
        let written = |units, scale| {
            let mut text = Vec::new();
            push_decimal(&mut text, units, scale);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(written(0, 12), "0");
        assert_eq!(written(1, 12), "0.000000000001");
        assert_eq!(written(97_000_120_000_000_000, 12), "97000.12");
        assert_eq!(written(5_000, 3), "5");
        assert_eq!(written(u128::MAX, 0), u128::MAX.to_string());
    }

    #[test]
    fn a_time_has_milliseconds_and_a_zone() {
        let mut clock = Clock::default();
        assert_eq!(clock.text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(clock.text(1_796_000_000_123), "2026-11-30T00:53:20.123Z");
    }
}
