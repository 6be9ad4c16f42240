//! Parameters of requests with a file: how to read it, and when to answer.

use encoding_rs::Encoding;
use serde_json::json;

use super::describe::text;
use super::values::{any, auto, choice};
use super::{Parameter, query};
use crate::domain::columns::Columns;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::TimeZone;
use crate::http::problem::Problem;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::rows::ReadOptions;

query! {
    /// A file, and how to read it.
    pub struct FileQuery {
        /// The file's name, if neither the body nor the form has one
        pub name: String = any(text().examples([json!("gamerounds.csv")])).or(""),
        /// Columns that the file calls by other names: `COLUMN:NAME,…`. Put a name with commas or quotes into double quotes, and write a
        /// quote inside them twice: `provider:"Vendor, Inc."`. Empty: none
        // An example that changes nothing: /docs sends it with whatever file is tried.
        columns: String = any(text().examples([json!("user_id:user_id,provider:provider")])).or(""),
        rows: RowsQuery,
    }
}

query! {
    /// How to read the rows of a file.
    pub struct RowsQuery {
        /// Encoding of the file: a label of the WHATWG Encoding Standard, or `auto` to detect it. A byte order mark wins over it
        encoding: Option<&'static Encoding> = encoding(),
        /// Decimal mark of the amounts. With `comma`, `1.234,5` is 1234.5 and `1.000` is 1000. With `auto` the mark is a point, and a file
        /// with decimal commas is refused. With `point`, rows with decimal commas are rejected
        decimal: Option<DecimalMark> = decimal(),
        /// Zone of times without one: a name of the IANA time zone database, such as `Europe/Malta`, or an offset such as `+02:00`. With
        /// `auto` they are UTC, and a replay uses the zone of its upload. A time that the clocks of the zone showed twice, or never, is
        /// rejected
        timezone: Option<TimeZone> = time_zone(),
    }
}

impl FileQuery {
    /// How to read a file with these columns.
    ///
    /// # Errors
    /// `columns` names other columns.
    pub fn options(self, columns: &Columns) -> Result<ReadOptions, Problem> {
        let names = Some(self.columns.as_str()).filter(|text| !text.is_empty());
        let names = names.map(|text| ColumnNames::parse(text, columns)).transpose();
        let columns = names.map_err(|error| Problem::parameter("columns", error))?.unwrap_or_default();
        Ok(ReadOptions { columns, ..self.rows.options() })
    }
}

impl RowsQuery {
    pub fn options(self) -> ReadOptions {
        let Self { encoding, decimal, timezone: time_zone } = self;
        ReadOptions { encoding, decimal, time_zone, ..ReadOptions::default() }
    }
}

/// A label of the WHATWG Encoding Standard (<https://encoding.spec.whatwg.org/#names-and-labels>).
fn encoding() -> Parameter<Option<&'static Encoding>> {
    let find = |label: &str| Encoding::for_label_no_replacement(label.as_bytes());
    auto("or a label of the WHATWG Encoding Standard such as utf-16le", find)
}

fn decimal() -> Parameter<Option<DecimalMark>> {
    let marks = [("auto", None), ("comma", Some(DecimalMark::Comma)), ("point", Some(DecimalMark::Point))];
    choice(marks).or("auto")
}

fn time_zone() -> Parameter<Option<TimeZone>> {
    let what = "a name of the IANA time zone database, such as Europe/Malta, or an offset, such as +02:00 (in a URL: %2B02:00)";
    auto(what, TimeZone::of_name)
}

/// Whether the answer waits until the rows are visible.
pub(crate) fn waits_until_visible() -> Parameter<bool> {
    choice([("acknowledged", false), ("visible", true)]).or("acknowledged")
}
