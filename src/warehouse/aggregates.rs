//! Reads the hourly aggregates.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};

const PAGE: &str = include_str!("../../queries/aggregates/page.sql");

/// Which aggregates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these; all if empty.
    pub players: Vec<String>,
    /// Any of these; all if empty.
    pub games: Vec<u64>,
    /// Hours that begin at or after this, in seconds since 1970.
    pub from: Option<u32>,
    /// Hours that begin before this, in seconds since 1970.
    pub before: Option<u32>,
}

/// By what the aggregates are sorted first; the rest of their key follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    CreatedHour,
    Player,
    Game,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub key: SortKey,
    pub descending: bool,
}

/// Which of them, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: u64,
    pub skip: u64,
    pub order: Order,
}

/// One hour of one player in one game. Amounts are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct AggregateRow {
    /// Seconds since 1970.
    pub created_hour: u32,
    pub user_id: String,
    pub game_id: u64,
    pub game_name: String,
    pub provider: String,
    pub rounds_played: u64,
    pub real_amount_bet: String,
    pub bonus_amount_bet: String,
    pub real_amount_win: String,
    pub bonus_amount_win: String,
    /// Bets less wins, real and bonus together.
    pub net: String,
}

/// Returns a page of aggregates.
///
/// # Errors
/// ClickHouse does not answer within `timeout`.
pub async fn fetch_page(
    warehouse: &Warehouse,
    filter: &Filter,
    page: &Page,
    timeout: Duration,
) -> Result<Vec<AggregateRow>, WarehouseError> {
    let sql = PAGE.replace("/* filters */", &conditions(filter)).replace("/* order */", order_by(page.order));
    let query = warehouse
        .query(&sql)
        .param("players", &filter.players)
        .param("games", &filter.games)
        .param("from", filter.from.unwrap_or(0))
        .param("before", filter.before.unwrap_or(0))
        .param("limit", page.limit)
        .param("skip", page.skip)
        .with_setting("max_execution_time", timeout.as_secs().to_string());
    let rows =
        tokio::time::timeout(timeout, query.fetch_all()).await.map_err(|_| WarehouseError::TimedOut)?;
    Ok(rows?)
}

/// Fixed text for each filter that applies: values go into parameters.
fn conditions(filter: &Filter) -> String {
    let conditions = [
        (!filter.players.is_empty(), "user_id IN {players:Array(String)}"),
        (!filter.games.is_empty(), "game_id IN {games:Array(UInt64)}"),
        (filter.from.is_some(), "created_hour >= toDateTime({from:UInt32}, 'UTC')"),
        (filter.before.is_some(), "created_hour < toDateTime({before:UInt32}, 'UTC')"),
    ];
    let applying: Vec<&str> =
        conditions.into_iter().filter(|(applies, _)| *applies).map(|(_, condition)| condition).collect();
    if applying.is_empty() { "true".to_owned() } else { applying.join(" AND ") }
}

fn order_by(order: Order) -> &'static str {
    match (order.key, order.descending) {
        (SortKey::CreatedHour, false) => "created_hour, user_id, game_id",
        (SortKey::CreatedHour, true) => "created_hour DESC, user_id DESC, game_id DESC",
        (SortKey::Player, false) => "user_id, created_hour, game_id",
        (SortKey::Player, true) => "user_id DESC, created_hour DESC, game_id DESC",
        (SortKey::Game, false) => "game_id, created_hour, user_id",
        (SortKey::Game, true) => "game_id DESC, created_hour DESC, user_id DESC",
    }
}
