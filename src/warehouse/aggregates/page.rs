//! Reads a page of aggregates that ClickHouse formats. The page's start and end are found first, so that the link to the next page is
//! known before the rows are sent.

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::BytesCursor;
use serde::Deserialize;

use super::plan::{Extent, SHOWN, Selection, Source, as_stored, source};
use super::{Filter, Key, Order, QueryLimits, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::text::Text;

const BOUNDS: &str = include_str!("../../../queries/bets/aggregates/page_bounds.sql");
const PAGE: &str = include_str!("../../../queries/bets/aggregates/page.sql");

/// Factor by which the number of rows to read grows if many stored rows share a key.
pub(super) const GROWTH: u64 = 16;

/// Limit for that growth: each part has a key at most once, and the table never has more parts than this for long.
pub(super) const MAX_COPIES: u64 = 4096;

/// Which aggregates to return, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: u64,
    pub skip: u64,
    pub order: Order,
    /// Only aggregates after this key.
    pub after: Option<Key>,
}

impl Page {
    /// Returns how many keys to look for: those to skip, those of the page, and one more that shows whether more follow.
    pub(super) fn wanted(&self) -> u64 {
        self.skip.saturating_add(self.limit).saturating_add(1)
    }

    /// Returns the block size in rows, so that ClickHouse reads no more than a page needs.
    pub(super) fn block_rows(&self) -> u64 {
        self.wanted().clamp(1024, 65_536)
    }

    /// Returns the aggregates of this page and all later ones, and where to read them. Without `is_ordered` that is the table itself.
    pub(super) async fn selection<'a>(
        &'a self,
        warehouse: &Warehouse,
        filter: &'a Filter,
        is_ordered: bool,
        limits: QueryLimits,
    ) -> Result<(Selection<'a>, Source), WarehouseError> {
        let extent = self.after.as_ref().map_or(Extent::All, Extent::After);
        let selection = Selection { filter, order: as_stored(filter, self.order), extent };
        let source = if is_ordered {
            source(warehouse, &selection, self.wanted(), limits).await?
        } else {
            Source::Hours
        };
        Ok((selection, source))
    }
}

/// The format in which ClickHouse writes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// With a header line.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// The Arrow stream format.
    Arrow,
    Parquet,
}

impl PageFormat {
    /// Returns ClickHouse's name of the format.
    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "JSONEachRow",
            Self::Csv => "CSVWithNames",
            Self::Arrow => "ArrowStream",
            Self::Parquet => "Parquet",
        }
    }

    /// Returns settings that write times as RFC 3339 and money as decimal strings, if the format has no types for them.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
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

/// Where a page starts and ends, and whether more rows follow. No keys if the page is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub first_and_last: Option<(Key, Key)>,
    pub has_more: bool,
}

impl Bounds {
    /// Returns the last key, if more keys follow.
    pub fn next(&self) -> Option<&Key> {
        self.first_and_last.as_ref().filter(|_| self.has_more).map(|(_, last)| last)
    }
}

/// The rows of a page, as ClickHouse writes them. Dropping it stops the query.
pub struct Rows {
    cursor: BytesCursor,
    limits: QueryLimits,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Rows {
    /// Returns the next piece, or none at the end.
    ///
    /// # Errors
    /// ClickHouse fails, or the query was stopped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        self.cursor.next().await.map_err(|error| sort(error, self.limits))
    }
}

/// Finds a page and starts to read it in ClickHouse's format. Text that begins with one of the characters in `formula_starts` gets an
/// apostrophe. Without `is_ordered` only the table itself is used, not its projections.
///
/// # Errors
/// ClickHouse does not answer, or the query would exceed its limits.
pub async fn fetch(
    warehouse: &Warehouse,
    filter: &Filter,
    page: &Page,
    (format, formula_starts): (PageFormat, &str),
    is_ordered: bool,
    limits: QueryLimits,
) -> Result<(Bounds, Rows), WarehouseError> {
    let (selection, source) = page.selection(warehouse, filter, is_ordered, limits).await?;
    let bounds = bounds(warehouse, &selection, page, source, limits).await?;
    let extent = bounds.first_and_last.as_ref().map_or(Extent::Nothing, Extent::Between);
    let selection = Selection { extent, ..selection };
    let mut query = selection.query(warehouse, PAGE, source, SHOWN, limits);
    query = query.param("formula_starts", formula_starts);
    for (name, value) in format.settings() {
        query = query.with_setting(*name, *value);
    }
    let cursor = query.fetch_bytes(format.name()).map_err(|error| sort(error, limits))?;
    Ok((bounds, Rows { cursor, limits }))
}

#[derive(Debug, Row, Deserialize)]
struct BoundsRow {
    found: u64,
    first: (u32, Text, u64),
    last: (u32, Text, u64),
    last_row: u64,
}

/// Finds where a page starts and ends.
pub(super) async fn bounds(
    warehouse: &Warehouse,
    selection: &Selection<'_>,
    page: &Page,
    source: Source,
    limits: QueryLimits,
) -> Result<Bounds, WarehouseError> {
    let wanted = page.wanted();
    let mut rows = wanted * 2;
    loop {
        let query = selection
            .stored_query(warehouse, BOUNDS, source, limits)
            .with_setting("max_block_size", page.block_rows().to_string())
            .param("limit", page.limit)
            .param("skip", page.skip)
            .param("rows", rows);
        let found: BoundsRow = query.fetch_one().await.map_err(|error| sort(error, limits))?;
        let has_more = found.found > page.limit;
        let is_end = if found.found > 0 { found.last_row + 1 < rows } else { page.skip == 0 };
        if has_more || is_end || rows >= wanted.saturating_mul(MAX_COPIES) {
            let key = |(hour, player, game)| Key { hour, player, game };
            let first_and_last = (found.found > 0).then(|| (key(found.first), key(found.last)));
            return Ok(Bounds { first_and_last, has_more });
        }
        rows = rows.saturating_mul(GROWTH);
    }
}
