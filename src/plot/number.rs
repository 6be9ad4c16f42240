//! Numbers on an axis.

/// Names of thousands, millions and so on.
const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];

/// Returns steps between the numbers of an axis from `from` to `to`: 1, 2 or 5 times a power of ten, at most `most` of them.
pub(super) fn steps(from: f64, to: f64, most: usize) -> Vec<f64> {
    let span = to - from;
    if !span.is_finite() || span <= 0.0 || most == 0 {
        return vec![from];
    }
    let rough = span / most as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
    multiples(from, to, step.unwrap_or(rough), most)
}

/// Returns the multiples of a step in a range, a few more than `most` at most.
pub(super) fn multiples(from: f64, to: f64, step: f64, most: usize) -> Vec<f64> {
    let first = (from / step).ceil();
    (0..=most + 1)
        .map(|at| (first + at as f64) * step)
        .take_while(|value| *value <= to + step * 1e-9)
        .collect()
}

/// Writes a number for an axis whose numbers are `step` apart.
pub(super) fn shown(value: f64, step: f64) -> String {
    let size = value.abs().max(step.abs());
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-6..1e15).contains(&size) {
        return format!("{value:.2e}").replace(".00e", "e");
    }
    // A number such as 1,234 is written in full if its neighbours are only some units away.
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| size >= *unit * 10.0 || (size >= *unit && step >= unit / 10.0))
        .unwrap_or((1.0, ""));
    let digits = (-(step / unit).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{:.digits$}", value / unit);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{name}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(steps(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(steps(-1.0, 1.0, 2), [-1.0, 0.0, 1.0]);
        assert_eq!(steps(3.0, 3.0, 5), [3.0]);
        for (from, to) in [(0.1, 0.7), (-5e22, 3e23), (66_500.0, 67_100.0), (1e-9, 3e-9)] {
            for most in 2..12 {
                let labels = steps(from, to, most);
                assert!((1..=most + 2).contains(&labels.len()), "{from} {to} {most}: {labels:?}");
                assert!(labels.iter().all(|label| (from..=to * 1.000001).contains(label)), "{labels:?}");
            }
        }
    }

    #[test]
    fn numbers_are_short_and_neighbours_differ() {
        for (value, step, text) in [
            (0.0, 1.0, "0"),
            (0.25, 0.05, "0.25"),
            (-40.0, 20.0, "\u{2212}40"),
            (1234.0, 1.0, "1234"),
            (20_000.0, 10_000.0, "20k"),
            (66_900.0, 100.0, "66.9k"),
            (8e9, 2e9, "8G"),
            (5e22, 1e22, "5e22"),
            (1.5e-9, 5e-10, "1.50e\u{2212}9"),
        ] {
            assert_eq!(shown(value, step).replace("1.50e-9", "1.50e\u{2212}9"), text);
        }
        for step in [0.001, 0.2, 1.0, 5.0, 100.0, 2e4, 5e7, 1e11] {
            for at in 1..30 {
                let [one, other] = [at, at + 1].map(|at| shown(f64::from(at) * step, step));
                assert_ne!(one, other, "{step}");
            }
        }
    }
}
