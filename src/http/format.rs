//! The requested format of rows.

use axum::http::HeaderMap;

use crate::http::parameters::Parameter;
use crate::http::parameters::values::choice;
use crate::warehouse::format::TableFormat;
use roundhouse_listener::accept;

/// The format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// One that ClickHouse writes.
    Table(TableFormat),
}

/// The formats, by the value of `format`, with their media types. Responses have the first one.
const FORMATS: [(&str, Format, &[&str]); 5] = [
    ("json", Format::Json, &["application/json"]),
    ("csv", Format::Table(TableFormat::Csv), &["text/csv"]),
    (
        "ndjson",
        Format::Table(TableFormat::Ndjson),
        &["application/x-ndjson", "application/ndjson", "application/jsonl"],
    ),
    ("arrow", Format::Table(TableFormat::Arrow), &["application/vnd.apache.arrow.stream"]),
    (
        "parquet",
        Format::Table(TableFormat::Parquet),
        &["application/vnd.apache.parquet", "application/x-parquet"],
    ),
];

impl Format {
    pub(super) fn parameter() -> Parameter<Option<Self>> {
        choice(FORMATS.map(|(name, format, _)| (name, format))).optional()
    }

    /// The format with this value of `format`.
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, ..)| *known == name).map(|(_, format, _)| *format)
    }

    /// The format of a media type, or of a range such as `text/*`.
    pub fn of_media_type(kind: &str) -> Option<Self> {
        match kind {
            "*/*" | "application/*" => Some(Self::Json),
            "text/*" => Some(Self::Table(TableFormat::Csv)),
            kind => FORMATS.iter().find(|(.., types)| types.contains(&kind)).map(|(_, format, _)| *format),
        }
    }

    /// The values of `format`.
    pub fn names() -> [&'static str; 5] {
        FORMATS.map(|(name, ..)| name)
    }

    /// The format that the request names, else that of its `Accept` header, else JSON.
    pub fn of(named: Option<Self>, headers: &HeaderMap) -> Self {
        named.unwrap_or_else(|| accepted(headers))
    }

    /// The value of `format`.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format, _)| *format == self).map_or("json", |(name, ..)| name)
    }

    /// The media type of a response.
    pub fn content_type(self) -> &'static str {
        if self == Self::Table(TableFormat::Csv) {
            return "text/csv; charset=utf-8";
        }
        let types =
            FORMATS.iter().find(|(_, format, _)| *format == self).and_then(|(.., types)| types.first());
        types.copied().unwrap_or("application/octet-stream")
    }

    /// The extension of the file name under which a browser saves a response; none if the browser shows it.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::Table(TableFormat::Ndjson) => None,
            Self::Table(TableFormat::Csv) => Some("csv"),
            Self::Table(TableFormat::Arrow) => Some("arrows"),
            Self::Table(TableFormat::Parquet) => Some("parquet"),
        }
    }
}

/// The format that the client prefers.
fn accepted(headers: &HeaderMap) -> Format {
    accept::preferred(headers, Format::of_media_type).unwrap_or(Format::Json)
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
            ("text/csv", Format::Table(TableFormat::Csv)),
            ("application/json;q=0.5, application/x-ndjson", Format::Table(TableFormat::Ndjson)),
            ("application/json;q=0.5, text/csv;q=0.4", Format::Json),
            ("application/vnd.apache.arrow.stream; q=0.9", Format::Table(TableFormat::Arrow)),
            ("application/vnd.apache.parquet, */*;q=0.1", Format::Table(TableFormat::Parquet)),
            ("text/csv;q=nothing", Format::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepted(&headers), format, "{accept}");
        }
    }
}
