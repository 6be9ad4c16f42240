//! Reads a page of aggregates as values.
//!
//! The stored rows are read along their order, and rows with the same key are added up here. This needs one short statement. ClickHouse
//! plans it in a third of the time that it needs for the two statements of a page that it writes itself (docs/BENCHMARKS.md).

use clickhouse::Row;
use serde::Deserialize;

use super::page::{GROWTH, MAX_COPIES, Page, bounds};
use super::plan::{Extent, Selection, Source};
use super::{Filter, Key, QueryLimits, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::text::Text;

const ROWS: &str = include_str!("../../../queries/bets/aggregates/rows.sql");

/// Digits of an amount after the decimal point, as in queries/bets/tables/2_hourly_aggregates.sql.
pub const AMOUNT_SCALE: u32 = 8;

/// The totals of one hour, one player and one game. Amounts are in units of 10^-[`AMOUNT_SCALE`].
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Aggregate {
    /// Seconds since 1970.
    pub created_hour: u32,
    #[serde(rename = "user_id")]
    pub player: Text,
    #[serde(rename = "game_id")]
    pub game: u64,
    pub game_name: Text,
    pub provider: Text,
    pub rounds_played: u64,
    pub real_amount_bet: i128,
    pub bonus_amount_bet: i128,
    pub real_amount_win: i128,
    pub bonus_amount_win: i128,
}

impl Aggregate {
    /// Bets minus wins.
    pub fn net(&self) -> i128 {
        self.real_amount_bet
            .saturating_add(self.bonus_amount_bet)
            .saturating_sub(self.real_amount_win)
            .saturating_sub(self.bonus_amount_win)
    }

    fn key(&self) -> Key {
        Key { hour: self.created_hour, player: self.player.clone(), game: self.game }
    }

    fn has_key_of(&self, other: &Self) -> bool {
        (self.created_hour, self.game) == (other.created_hour, other.game) && self.player == other.player
    }

    /// Adds another row with the same key, like ClickHouse's merges. Rounds are added modulo 2^64, because mending lowers an hour's count
    /// by adding a row with the complement. Amounts saturate at 128 bits, which is ten thousand million times the largest amount of a
    /// round.
    fn add(&mut self, other: Self) {
        self.game_name = std::mem::take(&mut self.game_name).max(other.game_name);
        self.provider = std::mem::take(&mut self.provider).max(other.provider);
        self.rounds_played = self.rounds_played.wrapping_add(other.rounds_played);
        for (sum, amount) in [
            (&mut self.real_amount_bet, other.real_amount_bet),
            (&mut self.bonus_amount_bet, other.bonus_amount_bet),
            (&mut self.real_amount_win, other.real_amount_win),
            (&mut self.bonus_amount_win, other.bonus_amount_win),
        ] {
            *sum = sum.saturating_add(amount);
        }
    }
}

/// A page of aggregates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    pub items: Vec<Aggregate>,
    /// The last key of the page, if more keys follow.
    pub next: Option<Key>,
}

impl Items {
    /// Cuts the items to the limit. The next page begins after the last one if some were cut off, otherwise after `next`.
    fn cut(mut items: Vec<Aggregate>, limit: u64, next: Option<Key>) -> Self {
        if items.len() as u64 <= limit {
            return Self { items, next };
        }
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Self { next: items.last().map(Aggregate::key), items }
    }
}

/// Reads a page, which is at most a few megabytes. Without `is_ordered` only the table itself is used, not its projections.
///
/// # Errors
/// ClickHouse does not answer, or the query would exceed its limits.
pub async fn fetch_items(
    warehouse: &Warehouse,
    filter: &Filter,
    page: &Page,
    is_ordered: bool,
    limits: QueryLimits,
) -> Result<Items, WarehouseError> {
    let (selection, source) = page.selection(warehouse, filter, is_ordered, limits).await?;
    let mut found = if page.skip == 0 {
        Items::cut(read_first(warehouse, &selection, source, page, limits).await?, page.limit, None)
    } else {
        // Rows before the page are skipped within ClickHouse.
        let bounds = bounds(warehouse, &selection, page, source, limits).await?;
        let Some(first_and_last) = &bounds.first_and_last else { return Ok(Items::default()) };
        let selection = Selection { extent: Extent::Between(first_and_last), ..selection };
        // New keys may have been added since the bounds were read.
        let most = Most { rows: u64::MAX, keys: page.limit.saturating_add(1) };
        let (items, _) = read(warehouse, &selection, source, page, most, limits).await?;
        Items::cut(items, page.limit, bounds.next().cloned())
    };
    // After a repair has removed all rounds of an hour, a row with zero rounds may remain.
    found.items.retain(|item| item.rounds_played != 0);
    Ok(found)
}

/// Reads the first keys of a selection, until there is one key more than fits the page, or no more rows.
async fn read_first(
    warehouse: &Warehouse,
    selection: &Selection<'_>,
    source: Source,
    page: &Page,
    limits: QueryLimits,
) -> Result<Vec<Aggregate>, WarehouseError> {
    let mut rows = page.wanted() * 2;
    loop {
        let most = Most { rows, keys: page.limit.saturating_add(1) };
        let (items, rows_read) = read(warehouse, selection, source, page, most, limits).await?;
        let has_more = items.len() as u64 > page.limit;
        if has_more || rows_read < rows || rows >= page.wanted().saturating_mul(MAX_COPIES) {
            return Ok(items);
        }
        rows = rows.saturating_mul(GROWTH);
    }
}

/// How much to read.
#[derive(Clone, Copy)]
struct Most {
    rows: u64,
    /// Rows after this many keys are ignored.
    keys: u64,
}

/// Reads rows. Returns their sums by key, and the number of rows.
async fn read(
    warehouse: &Warehouse,
    selection: &Selection<'_>,
    source: Source,
    page: &Page,
    most: Most,
    limits: QueryLimits,
) -> Result<(Vec<Aggregate>, u64), WarehouseError> {
    let query = selection
        .stored_query(warehouse, ROWS, source, limits)
        .with_setting("max_block_size", page.block_rows().to_string())
        .param("rows", most.rows);
    let mut cursor = query.fetch::<Aggregate>().map_err(|error| sort(error, limits))?;
    let (mut items, mut rows_read): (Vec<Aggregate>, u64) = (Vec::new(), 0);
    while let Some(row) = cursor.next().await.map_err(|error| sort(error, limits))? {
        rows_read += 1;
        let has_room = (items.len() as u64) < most.keys;
        match items.last_mut() {
            Some(last) if last.has_key_of(&row) => last.add(row),
            _ if has_room => items.push(row),
            _ => {}
        }
    }
    Ok((items, rows_read))
}
