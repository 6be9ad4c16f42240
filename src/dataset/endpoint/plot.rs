//! `-- plot: KIND x=column y=column`

use super::header::without_remark;
use super::parameter::is_name;

/// Most columns that one plot draws.
const MAX_SERIES: usize = 8;

/// How an endpoint is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    pub kind: PlotKind,
    /// The column of the horizontal axis; of a histogram, the one whose values are counted.
    pub x: String,
    /// The columns of the vertical axis: one or several; of candles open, high, low and close; none of a histogram.
    pub y: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlotKind {
    Line,
    Points,
    Bars,
    Candles,
    Histogram,
}

/// The kinds by their names.
const KINDS: [(&str, PlotKind); 5] = [
    ("line", PlotKind::Line),
    ("points", PlotKind::Points),
    ("bars", PlotKind::Bars),
    ("candles", PlotKind::Candles),
    ("histogram", PlotKind::Histogram),
];

impl Plot {
    /// # Errors
    /// The kind is unknown, or does not have these columns. The error says what to do.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = without_remark(text).split(' ').filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
            let known = KINDS.map(|(name, _)| name).join(", ");
            return Err(format!("unknown plot {name:?}; use one of {known}"));
        };
        let mut plot = Self { kind: *kind, x: String::new(), y: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some(("x", column)) if plot.x.is_empty() => column.clone_into(&mut plot.x),
                Some(("y", columns)) if plot.y.is_empty() => {
                    plot.y = columns.split(',').map(str::to_owned).collect();
                }
                None if *kind == PlotKind::Candles => plot.y.push(word.to_owned()),
                _ => return Err(format!("{word} is unexpected; write {}", kind.example())),
            }
        }
        let wanted = match kind {
            PlotKind::Candles => 4..=4,
            PlotKind::Histogram => 0..=0,
            PlotKind::Line | PlotKind::Points | PlotKind::Bars => 1..=MAX_SERIES,
        };
        let has_names = std::iter::once(&plot.x).chain(&plot.y).all(|name| is_name(name));
        match has_names && wanted.contains(&plot.y.len()) {
            true => Ok(plot),
            false => Err(format!("the plot does not name its columns; write {}", kind.example())),
        }
    }

    /// Returns all columns that it draws.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.x.as_str()).chain(self.y.iter().map(String::as_str))
    }
}

impl PlotKind {
    fn example(self) -> &'static str {
        match self {
            Self::Line => "line x=column y=column, or several after y=, with commas and no spaces, at most 8",
            Self::Points => {
                "points x=column y=column, or several after y=, with commas and no spaces, at most 8"
            }
            Self::Bars => "bars x=column y=column, or several after y=, with commas and no spaces, at most 8",
            Self::Candles => "candles x=time open high low close, with your columns in this order",
            Self::Histogram => "histogram x=column",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_columns() {
        let candles = Plot::parse("candles x=time open high low close").unwrap();
        assert_eq!(candles.columns().collect::<Vec<_>>(), ["time", "open", "high", "low", "close"]);
        let line = Plot::parse("line x=step y=value,other   drawn over the steps").unwrap();
        assert_eq!((line.kind, line.y), (PlotKind::Line, vec!["value".to_owned(), "other".to_owned()]));
        assert_eq!(Plot::parse("histogram x=steps").unwrap().kind, PlotKind::Histogram);
        for (text, message) in [
            ("", "use one of line"),
            ("pie x=a y=b", "unknown plot \"pie\""),
            ("line x=a", "write line x=column y=column"),
            ("line y=a", "does not name its columns"),
            ("line x=a y=b y=c", "y=c is unexpected"),
            ("line x=a y=b c", "c is unexpected"),
            ("line x=a y=b,", "does not name"),
            ("line x=a y=a,b,c,d,e,f,g,h,i", "at most 8"),
            ("candles x=time open high low", "candles x=time open"),
            ("histogram x=a y=b", "write histogram x=column"),
            ("points x=A y=b", "does not name"),
        ] {
            let error = Plot::parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
