//! The formats in which ClickHouse writes answers.

/// A format of ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// With a header line.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// The Arrow stream format.
    Arrow,
    Parquet,
}

impl TableFormat {
    /// Returns ClickHouse's name of the format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "JSONEachRow",
            Self::Csv => "CSVWithNames",
            Self::Arrow => "ArrowStream",
            Self::Parquet => "Parquet",
        }
    }

    /// Returns settings that write times as RFC 3339 and money as decimal strings, if the format has no types for them.
    pub(super) fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ndjson => &[
                ("output_format_json_quote_decimals", "1"),
                ("output_format_json_quote_64bit_integers", "0"),
                ("date_time_output_format", "iso"),
            ],
            Self::Csv => &[("date_time_output_format", "iso")],
            Self::Arrow => &[("output_format_arrow_string_as_string", "1")],
            Self::Parquet => &[("output_format_parquet_string_as_string", "1")],
        }
    }
}
