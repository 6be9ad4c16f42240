//! Which format is asked for.

use axum::http::{HeaderMap, header};

use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::warehouse::aggregates::PageFormat;

/// The formats, by the value of `format`, with their media types: those by which they are sent first.
const FORMATS: [(&str, PageFormat, &[&str]); 5] = [
    ("json", PageFormat::Json, &["application/json"]),
    ("csv", PageFormat::Csv, &["text/csv"]),
    ("ndjson", PageFormat::Ndjson, &["application/x-ndjson", "application/ndjson", "application/jsonl"]),
    ("arrow", PageFormat::Arrow, &["application/vnd.apache.arrow.stream"]),
    ("parquet", PageFormat::Parquet, &["application/vnd.apache.parquet", "application/x-parquet"]),
];

/// Takes the parameter `format`; without it the `Accept` header decides, and JSON is sent to whom no other is better.
pub(super) fn of_request(parameters: &mut Parameters, headers: &HeaderMap) -> Result<PageFormat, Problem> {
    let Some(name) = parameters.one("format")? else { return Ok(accepted(headers)) };
    let found = FORMATS.iter().find(|(known, ..)| *known == name).map(|(_, format, _)| *format);
    found.ok_or_else(|| Problem::parameter("format", "json, csv, ndjson, arrow or parquet"))
}

/// The media type of an answer.
pub(super) fn content_type(format: PageFormat) -> &'static str {
    match format {
        PageFormat::Csv => "text/csv; charset=utf-8",
        other => FORMATS
            .iter()
            .find(|(_, format, _)| *format == other)
            .and_then(|(_, _, types)| types.first())
            .copied()
            .unwrap_or("application/octet-stream"),
    }
}

/// The name under which a browser saves an answer; none where it shows it.
pub(super) fn file_name(format: PageFormat) -> Option<&'static str> {
    match format {
        PageFormat::Json | PageFormat::Ndjson => None,
        PageFormat::Csv => Some("aggregates.csv"),
        PageFormat::Arrow => Some("aggregates.arrows"),
        PageFormat::Parquet => Some("aggregates.parquet"),
    }
}

/// The format that the client likes best (RFC 9110, section 12.5.1); of several, the one that it names first.
fn accepted(headers: &HeaderMap) -> PageFormat {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0.0, PageFormat::Json);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        let format = match kind.as_str() {
            "*/*" | "application/*" => Some(PageFormat::Json),
            "text/*" => Some(PageFormat::Csv),
            kind => FORMATS.iter().find(|(.., types)| types.contains(&kind)).map(|(_, format, _)| *format),
        };
        if let (Some(quality), Some(format)) = (quality, format)
            && quality > best.0
        {
            best = (quality, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_liked_best_is_sent() {
        for (accept, format) in [
            ("", PageFormat::Json),
            ("*/*", PageFormat::Json),
            ("image/png", PageFormat::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PageFormat::Json),
            ("text/csv", PageFormat::Csv),
            ("application/json;q=0.5, application/x-ndjson", PageFormat::Ndjson),
            ("application/json;q=0.5, text/csv;q=0.4", PageFormat::Json),
            ("application/vnd.apache.arrow.stream; q=0.9", PageFormat::Arrow),
            ("application/vnd.apache.parquet, */*;q=0.1", PageFormat::Parquet),
            ("text/csv;q=nothing", PageFormat::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepted(&headers), format, "{accept}");
        }
    }
}
