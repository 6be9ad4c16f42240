//! A page of aggregates that ClickHouse writes: first where it begins and ends, so that what follows it is known before it is sent,
//! then its rows.

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::BytesCursor;
use serde::Deserialize;

use super::plan::{Extent, SHOWN, Selection, Source, as_stored, source};
use super::{Filter, Key, Order, QueryLimits, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::text::Text;

const BOUNDS: &str = include_str!("../../../queries/aggregates/page_bounds.sql");
const PAGE: &str = include_str!("../../../queries/aggregates/page.sql");

/// How many times the rows that are looked at grow, where keys are stored so often that they are too few.
pub(super) const GROWTH: u64 = 16;

/// Rows that are looked at for a page, at most: a key is in each part of the table once at most, and no more parts are there for long.
pub(super) const MAX_COPIES: u64 = 4096;

/// Which of the aggregates, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: u64,
    pub skip: u64,
    pub order: Order,
    /// Only those behind this one.
    pub after: Option<Key>,
}

impl Page {
    /// How many keys are looked for: those that are passed over, those of the page, and one that says whether there are more.
    pub(super) fn wanted(&self) -> u64 {
        self.skip.saturating_add(self.limit).saturating_add(1)
    }

    /// Rows of a block: no more is read than is needed for one page.
    pub(super) fn block_rows(&self) -> u64 {
        self.wanted().clamp(1024, 65_536)
    }

    /// The aggregates that the page is the beginning of, and from where they are read. Without `is_ordered` that is the table itself.
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

/// How ClickHouse writes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// With a header.
    Csv,
    /// An object per line.
    Ndjson,
    /// Arrow's stream.
    Arrow,
    Parquet,
}

impl PageFormat {
    /// ClickHouse's name of it.
    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "JSONEachRow",
            Self::Csv => "CSVWithNames",
            Self::Arrow => "ArrowStream",
            Self::Parquet => "Parquet",
        }
    }

    /// Times as RFC 3339 and money as decimal strings, where the format has no types for them.
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

/// Where a page begins and ends, and whether more follow; none of it if nothing is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub first_and_last: Option<(Key, Key)>,
    pub has_more: bool,
}

impl Bounds {
    /// The last key, where more follow it.
    pub fn next(&self) -> Option<&Key> {
        self.first_and_last.as_ref().filter(|_| self.has_more).map(|(_, last)| last)
    }
}

/// The rows of a page, as ClickHouse writes them. Dropped, the query is stopped.
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
    /// Returns the next piece; none at the end.
    ///
    /// # Errors
    /// ClickHouse fails, or the query was stopped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        self.cursor.next().await.map_err(|error| sort(error, self.limits))
    }
}

/// Finds a page, and begins to read it as ClickHouse writes it. Without `is_ordered` only the table itself is used.
///
/// # Errors
/// ClickHouse does not answer, or more would have to be read than may be.
pub async fn fetch(
    warehouse: &Warehouse,
    filter: &Filter,
    page: &Page,
    format: PageFormat,
    is_ordered: bool,
    limits: QueryLimits,
) -> Result<(Bounds, Rows), WarehouseError> {
    let (selection, source) = page.selection(warehouse, filter, is_ordered, limits).await?;
    let bounds = bounds(warehouse, &selection, page, source, limits).await?;
    let extent = bounds.first_and_last.as_ref().map_or(Extent::Nothing, Extent::Between);
    let selection = Selection { extent, ..selection };
    let mut query = selection.query(warehouse, PAGE, source, SHOWN, limits);
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

/// Finds where a page begins and ends.
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
