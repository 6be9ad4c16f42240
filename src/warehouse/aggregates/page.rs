//! Reads a page of aggregates that ClickHouse formats. The page's start and end are found first, so that the link to the next page is
//! known before the rows are sent.

use clickhouse::Row;
use serde::Deserialize;

use super::plan::{Extent, SHOWN, Selection, Source, as_stored, source};
use super::{Filter, Key, Order, QueryLimits, Rows, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::format::TableFormat;
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

/// Finds a page and starts to read it in ClickHouse's format. Text that begins with one of the characters in `formula_starts` gets an
/// apostrophe. Without `is_ordered` only the table itself is used, not its projections.
///
/// # Errors
/// ClickHouse does not answer, or the query would exceed its limits.
pub async fn fetch(
    warehouse: &Warehouse,
    filter: &Filter,
    page: &Page,
    (format, formula_starts): (TableFormat, &str),
    is_ordered: bool,
    limits: QueryLimits,
) -> Result<(Bounds, Rows), WarehouseError> {
    let (selection, source) = page.selection(warehouse, filter, is_ordered, limits).await?;
    let bounds = bounds(warehouse, &selection, page, source, limits).await?;
    let extent = bounds.first_and_last.as_ref().map_or(Extent::Nothing, Extent::Between);
    let selection = Selection { extent, ..selection };
    let query = selection.query(warehouse, PAGE, source, SHOWN, limits);
    let query = query.param("formula_starts", formula_starts);
    Ok((bounds, Rows::of(query, format, limits)?))
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
