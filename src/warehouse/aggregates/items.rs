//! A page of aggregates as values.
//!
//! The rows are read as they are stored, along their order, and those of one key are added up here: one statement of few words, which
//! ClickHouse plans in a third of the time that it needs for the two of a page that it writes itself (docs/BENCHMARKS.md).

use clickhouse::Row;
use serde::Deserialize;

use super::page::{GROWTH, MAX_COPIES, Page, bounds};
use super::plan::{Extent, Selection, Source};
use super::{Filter, Key, QueryLimits, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::text::Text;

const ROWS: &str = include_str!("../../../queries/aggregates/rows.sql");

/// Digits of an amount behind its point, as in queries/schema/003_hourly_aggregates.sql.
pub const AMOUNT_SCALE: u32 = 8;

/// What happened in one hour, of one player in one game. Amounts are in units of 10^-[`AMOUNT_SCALE`].
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
    /// Bets less wins.
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

    /// Adds another row of the same key, as ClickHouse's merges do: rounds modulo 2^64, since a mended hour takes some away by a row that
    /// adds their complement. Amounts beyond 128 bits take ten thousand million of the largest that a round may have.
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

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    pub items: Vec<Aggregate>,
    /// The last key of the page, where more follow it.
    pub next: Option<Key>,
}

impl Items {
    /// Leaves what fits on a page, and says where the next one begins: behind it, if something is left over, else behind `next`.
    fn cut(mut items: Vec<Aggregate>, limit: u64, next: Option<Key>) -> Self {
        if items.len() as u64 <= limit {
            return Self { items, next };
        }
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Self { next: items.last().map(Aggregate::key), items }
    }
}

/// Reads a page, which is at most some megabytes. Without `is_ordered` only the table itself is used.
///
/// # Errors
/// ClickHouse does not answer, or more would have to be read than may be.
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
        // What is passed over stays with ClickHouse.
        let bounds = bounds(warehouse, &selection, page, source, limits).await?;
        let Some(first_and_last) = &bounds.first_and_last else { return Ok(Items::default()) };
        let selection = Selection { extent: Extent::Between(first_and_last), ..selection };
        // More keys may have come since then.
        let most = Most { rows: u64::MAX, keys: page.limit.saturating_add(1) };
        let (items, _) = read(warehouse, &selection, source, page, most, limits).await?;
        Items::cut(items, page.limit, bounds.next().cloned())
    };
    // Of an hour whose rounds a repair has removed, nothing may be left but a zero.
    found.items.retain(|item| item.rounds_played != 0);
    Ok(found)
}

/// Reads the first keys of a selection, until there is one more than a page has, or no more rows.
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

/// How much is read.
#[derive(Clone, Copy)]
struct Most {
    rows: u64,
    /// What has other keys than the first so many is left out.
    keys: u64,
}

/// Reads rows, and returns what they add up to, and how many they were.
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
