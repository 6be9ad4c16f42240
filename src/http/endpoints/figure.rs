//! Makes the figure of rows.

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value};

use crate::dataset::endpoint::plot::{Plot, PlotKind};
use crate::dataset::endpoint::types::Type;
use crate::endpoints::{EndpointError, Prepared};
use crate::plot::{Figure, MAX_POINTS, Marks, Positions, Series};

/// A row as the answer in JSON has it.
type Row = Map<String, Value>;

/// Makes a figure of rows in JSON. A row without a place on the horizontal axis is left out.
///
/// # Errors
/// There are too many rows.
pub(super) fn figure(prepared: &Prepared, plot: &Plot, items: &[String]) -> Result<Figure, EndpointError> {
    if items.len() > MAX_POINTS {
        return Err(EndpointError::TooManyPoints { limit: MAX_POINTS });
    }
    let rows = items.iter().filter_map(|item| serde_json::from_str::<Row>(item).ok());
    let rows: Vec<Row> = rows.filter(|row| !row.get(&plot.x).is_none_or(Value::is_null)).collect();
    let kind = prepared.column(&plot.x).map_or(&Type::String, |column| column.kind.bare().0);
    let place = |row: &Row| row.get(&plot.x).and_then(number).unwrap_or(f64::NAN);
    let x = match kind {
        Type::Integer { .. } | Type::Float(_) | Type::Decimal { .. } => {
            Positions::Numbers(rows.iter().map(place).collect())
        }
        Type::Date | Type::Date32 | Type::DateTime { .. } | Type::DateTime64 { .. } => {
            let time = |row: &Row| row.get(&plot.x).and_then(Value::as_str).and_then(millis);
            Positions::Times(rows.iter().map(|row| time(row).unwrap_or(f64::NAN)).collect())
        }
        _ => Positions::Names(rows.iter().map(|row| text(row.get(&plot.x))).collect()),
    };
    let marks = match plot.kind {
        PlotKind::Line => Marks::Line(series(plot, &rows)),
        PlotKind::Points => Marks::Points(series(plot, &rows)),
        PlotKind::Bars => Marks::Bars(series(plot, &rows)),
        PlotKind::Histogram => Marks::Histogram,
        PlotKind::Candles => {
            let candle = |row: &Row| {
                let mut prices = [None; 4];
                for (price, name) in prices.iter_mut().zip(&plot.y) {
                    *price = row.get(name).and_then(number);
                }
                prices
            };
            Marks::Candles(rows.iter().map(candle).collect())
        }
    };
    Ok(Figure { title: prepared.endpoint.title.clone(), x_name: plot.x.clone(), x, marks })
}

fn series(plot: &Plot, rows: &[Row]) -> Vec<Series> {
    let one = |name: &String| Series {
        name: name.clone(),
        values: rows.iter().map(|row| row.get(name).and_then(number)).collect(),
    };
    plot.y.iter().map(one).collect()
}

/// Large numbers and decimals are text. The picture needs no more digits than a float has.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// Milliseconds since 1970 of a date or time.
fn millis(text: &str) -> Option<f64> {
    let millis = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.timestamp_millis(),
        Err(_) => text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis(),
    };
    Some(millis as f64)
}

/// Control characters cannot be in an SVG.
fn text(value: Option<&Value>) -> String {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
