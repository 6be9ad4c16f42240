//! The requested format.

use axum::http::HeaderMap;

use crate::http::parameters::Parameter;
use crate::http::parameters::values::choice;
use crate::warehouse::aggregates::PageFormat;
use roundhouse_listener::accept;

/// The format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// One that ClickHouse writes.
    Table(PageFormat),
}

/// The formats, by the value of `format`, with their media types. Responses have the first one.
const FORMATS: [(&str, Format, &[&str]); 5] = [
    ("json", Format::Json, &["application/json"]),
    ("csv", Format::Table(PageFormat::Csv), &["text/csv"]),
    (
        "ndjson",
        Format::Table(PageFormat::Ndjson),
        &["application/x-ndjson", "application/ndjson", "application/jsonl"],
    ),
    ("arrow", Format::Table(PageFormat::Arrow), &["application/vnd.apache.arrow.stream"]),
    (
        "parquet",
        Format::Table(PageFormat::Parquet),
        &["application/vnd.apache.parquet", "application/x-parquet"],
    ),
];

impl Format {
    pub(super) fn parameter() -> Parameter<Option<Self>> {
        choice(FORMATS.map(|(name, format, _)| (name, format))).optional()
    }

    /// The format that the request names, else that of its `Accept` header, else JSON.
    pub(super) fn of(named: Option<Self>, headers: &HeaderMap) -> Self {
        named.unwrap_or_else(|| accepted(headers))
    }

    /// The value of `format`.
    pub(super) fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format, _)| *format == self).map_or("json", |(name, ..)| name)
    }

    /// The media type of a response.
    pub(super) fn content_type(self) -> &'static str {
        if self == Self::Table(PageFormat::Csv) {
            return "text/csv; charset=utf-8";
        }
        let types =
            FORMATS.iter().find(|(_, format, _)| *format == self).and_then(|(.., types)| types.first());
        types.copied().unwrap_or("application/octet-stream")
    }

    /// The file name under which a browser saves a response; none if the browser shows it.
    pub(super) fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::Table(PageFormat::Ndjson) => None,
            Self::Table(PageFormat::Csv) => Some("aggregates.csv"),
            Self::Table(PageFormat::Arrow) => Some("aggregates.arrows"),
            Self::Table(PageFormat::Parquet) => Some("aggregates.parquet"),
        }
    }
}

/// The format that the client prefers.
fn accepted(headers: &HeaderMap) -> Format {
    let find = |kind: &str| match kind {
        "*/*" | "application/*" => Some(Format::Json),
        "text/*" => Some(Format::Table(PageFormat::Csv)),
        kind => FORMATS.iter().find(|(.., types)| types.contains(&kind)).map(|(_, format, _)| *format),
    };
    accept::preferred(headers, find).unwrap_or(Format::Json)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn the_preferred_format_is_sent() {
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("image/png", Format::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("text/csv", Format::Table(PageFormat::Csv)),
            ("application/json;q=0.5, application/x-ndjson", Format::Table(PageFormat::Ndjson)),
            ("application/json;q=0.5, text/csv;q=0.4", Format::Json),
            ("application/vnd.apache.arrow.stream; q=0.9", Format::Table(PageFormat::Arrow)),
            ("application/vnd.apache.parquet, */*;q=0.1", Format::Table(PageFormat::Parquet)),
            ("text/csv;q=nothing", Format::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepted(&headers), format, "{accept}");
        }
    }
}
