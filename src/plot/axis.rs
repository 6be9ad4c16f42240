//! The horizontal and the vertical axis: which range they have, and where their labels are.

use std::ops::Range;

use chrono::DateTime;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::number::{multiples, shown, steps};

/// Milliseconds of an hour and a day.
const HOUR: f64 = 3_600_000.0;
const DAY: f64 = 24.0 * HOUR;

/// The distances between labels of a time axis.
const DISTANCES: [f64; 26] = [
    1.0,
    10.0,
    100.0,
    1e3,
    2e3,
    5e3,
    15e3,
    30e3,
    60e3,
    120e3,
    300e3,
    900e3,
    1800e3,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    7.0 * DAY,
    14.0 * DAY,
    30.0 * DAY,
    91.0 * DAY,
    182.0 * DAY,
    365.0 * DAY,
];

/// What the numbers of an axis mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scale {
    Number,
    /// Milliseconds since 1970.
    Time,
    /// The places of these texts: 0, 1, 2 …
    Names(Vec<String>),
}

/// An axis. It is never empty.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    scale: Scale,
    /// The labels have this distance.
    step: f64,
    /// Labels of times are not closer than this.
    least: f64,
}

impl Axis {
    /// An axis with these values, and some room around them. `labels`: how many there may be. `least`: how close those of times may be.
    pub(super) fn of(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        labels: usize,
        room: f64,
        least_step: f64,
    ) -> Self {
        let values = values.filter(|value| value.is_finite());
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let (least, most) = if least > most { (0.0, 1.0) } else { (least, most) };
        let alone = if scale == Scale::Time { HOUR } else { most.abs().max(1.0) };
        let span = if most > least { most - least } else { alone };
        let room = if most > least { span * room } else { span / 2.0 };
        let range = (least - room)..(most + room);
        let mut axis = Self { range, scale, step: span, least: least_step };
        let points = axis.labels(labels);
        if let [first, second, ..] = points.as_slice() {
            axis.step = second - first;
        }
        axis
    }

    /// Where its labels are.
    fn labels(&self, most: usize) -> Vec<f64> {
        let (from, to) = (self.range.start, self.range.end);
        match &self.scale {
            Scale::Number => steps(from, to, most),
            Scale::Time => {
                let wanted = ((to - from) / most.max(1) as f64).max(self.least);
                let distance = DISTANCES.into_iter().find(|distance| *distance >= wanted);
                let years = || (wanted / (365.0 * DAY)).ceil() * 365.0 * DAY;
                multiples(from, to, distance.unwrap_or_else(years), most)
            }
            Scale::Names(names) => {
                let every = names.len().div_ceil(most.max(1)).max(1);
                (0..names.len()).step_by(every).map(|at| at as f64).collect()
            }
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        let pixels = f64::from(limit.1 - limit.0);
        (f64::from(limit.0) + share.clamp(-1.0, 2.0) * pixels).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.labels(hint.max_num_points())
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        match &self.scale {
            Scale::Number => shown(*value, self.step),
            Scale::Time => time(*value, self.step),
            Scale::Names(names) => {
                let name = names.get(value.round() as usize).map_or("", String::as_str);
                shortened(name, 16)
            }
        }
    }
}

fn time(millis: f64, step: f64) -> String {
    let Some(time) = DateTime::from_timestamp_millis(millis as i64) else { return String::new() };
    let notation = match step {
        _ if step >= DAY => "%Y-%m-%d",
        _ if step >= 60e3 && millis.rem_euclid(DAY) == 0.0 => "%Y-%m-%d",
        _ if step >= 60e3 => "%H:%M",
        _ if step >= 1e3 => "%H:%M:%S",
        _ => "%H:%M:%S%.3f",
    };
    time.format(notation).to_string()
}

/// Returns a text that is cut after some characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_times_are_at_full_hours_and_days() {
        let labels = |span: f64| {
            let start = 1_795_824_000_000.0;
            let axis = Axis::of([start + 60e3, start + span].into_iter(), Scale::Time, 6, 0.0, 0.0);
            axis.labels(6).iter().map(|label| axis.format_ext(label)).collect::<Vec<_>>()
        };
        assert_eq!(labels(12.0 * HOUR), ["02:00", "04:00", "06:00", "08:00", "10:00", "12:00"]);
        assert_eq!(labels(300e3)[0], "00:01");
        assert_eq!(labels(6.0 * DAY)[0], "2026-11-29");
        assert_eq!(labels(10e3).len(), 4);
        assert!(labels(365.0 * 50.0 * DAY).len() <= 8);
    }
}
