//! Plans how aggregates are read: in which order, and with which conditions.
//!
//! The SQL text here is fixed. Everything that a client sends goes into parameters.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::{Filter, Key, Order, QueryLimits, SortKey, limited, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};

const ESTIMATE: &str = include_str!("../../../queries/bets/aggregates/estimate.sql");

/// Reading this many rows is so fast that no better plan is searched.
const FEW_ROWS: u64 = 8_192;

/// The key columns in the tables, and their names in the outer queries.
const STORED: [&str; 3] = ["created_hour", "user_id", "game_id"];
pub(super) const SHOWN: [&str; 3] = ["hour", "player", "game"];

/// An order in which the aggregates are stored. The rows of a projection are in the same parts as those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By hour, player, game: the table itself.
    Hours,
    /// By player, hour, game.
    Players,
    /// By game, hour, player.
    Games,
}

impl Source {
    /// Returns the text after FROM.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Hours => "hourly_aggregates",
            Self::Players => "mergeTreeProjection(currentDatabase(), 'hourly_aggregates', 'by_player')",
            Self::Games => "mergeTreeProjection(currentDatabase(), 'hourly_aggregates', 'by_game')",
        }
    }

    fn in_order(key: SortKey) -> Self {
        match key {
            SortKey::CreatedHour => Self::Hours,
            SortKey::Player => Self::Players,
            SortKey::Game => Self::Games,
        }
    }
}

/// Where the rows that pass the filters can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// The rows are stored together, and already in the requested order.
    One(Source),
    /// Read the rows where they are stored together and sort them, or read along the order and skip the rows in between.
    Either { together: Source, in_order: Source },
}

fn choice(filter: &Filter, key: SortKey) -> Choice {
    let in_order = Source::in_order(key);
    let together = selective(filter).unwrap_or(in_order);
    if together == in_order { Choice::One(together) } else { Choice::Either { together, in_order } }
}

/// Rewrites the order to an equivalent one that is stored: within one player or one game, the order by hour is the same as the order by
/// player or by game. For the original order, ClickHouse would sort all rows.
pub(super) fn as_stored(filter: &Filter, order: Order) -> Order {
    let key = match (order.key, filter.players.len(), filter.games.len()) {
        (SortKey::CreatedHour, 1, _) => SortKey::Player,
        (SortKey::CreatedHour, 0, 1) => SortKey::Game,
        (key, ..) => key,
    };
    Order { key, ..order }
}

/// Returns where the rows that pass the filters are stored together, or none if there is no filter.
pub(super) fn selective(filter: &Filter) -> Option<Source> {
    if !filter.players.is_empty() {
        Some(Source::Players)
    } else if !filter.games.is_empty() {
        Some(Source::Games)
    } else {
        (filter.from.is_some() || filter.before.is_some()).then_some(Source::Hours)
    }
}

/// Chooses where to read `wanted` rows: all rows that pass the filters where they are stored together, or along the order until there are
/// enough. Compares ClickHouse's estimates, so that the number of rows read grows at most with the square root of the table.
pub(super) async fn source(
    warehouse: &Warehouse,
    selection: &Selection<'_>,
    wanted: u64,
    limits: QueryLimits,
) -> Result<Source, WarehouseError> {
    let (mut together, in_order) = match choice(selection.filter, selection.order.key) {
        Choice::One(source) => return Ok(source),
        Choice::Either { together, in_order } => (together, in_order),
    };
    let estimate = |source| selection.estimate(warehouse, source, limits);
    let mut to_read = estimate(together).await?;
    if to_read <= FEW_ROWS {
        return Ok(together);
    }
    let mut matching = u128::from(to_read);
    if together == Source::Players && !selection.filter.games.is_empty() {
        // No stored order has players and games together. Assume that the two filters are independent.
        let (of_games, of_hours) = tokio::try_join!(estimate(Source::Games), estimate(Source::Hours))?;
        matching = matching * u128::from(of_games) / u128::from(of_hours).max(1);
        if of_games < to_read {
            (together, to_read) = (Source::Games, of_games);
        }
    }
    let until_enough = u128::from(estimate(in_order).await?) * u128::from(wanted) / matching.max(1);
    Ok(if u128::from(to_read) <= until_enough { together } else { in_order })
}

/// The aggregates that a page is part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'a> {
    pub(super) filter: &'a Filter,
    pub(super) order: Order,
    pub(super) extent: Extent<'a>,
}

/// Which of the rows that pass the filters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent<'a> {
    All,
    Nothing,
    /// Those after a key, in the order.
    After(&'a Key),
    /// Those from the first to the last key, both included.
    Between(&'a (Key, Key)),
}

impl<'a> Extent<'a> {
    /// Returns the keys, with the prefixes of their parameters' names.
    fn keys(self) -> Vec<(&'static str, &'a Key)> {
        match self {
            Self::All | Self::Nothing => Vec::new(),
            Self::After(key) => vec![("after", key)],
            Self::Between((first, last)) => vec![("first", first), ("last", last)],
        }
    }
}

impl Selection<'_> {
    /// Builds a query: replaces the placeholders and sets the parameters. `names`: the names of the key columns in ORDER BY.
    pub(super) fn query(
        &self,
        warehouse: &Warehouse,
        sql: &str,
        source: Source,
        names: [&str; 3],
        limits: QueryLimits,
    ) -> Query {
        let sql = sql
            .replace("/* source */", source.table())
            .replace("/* filters */", &self.conditions())
            .replace("/* order */", &order_by(self.order, names));
        self.bind(limited(warehouse, &sql, limits))
    }

    /// Sets the parameters that the conditions use, and no others: each parameter costs ClickHouse time.
    fn bind(&self, mut query: Query) -> Query {
        let filter = self.filter;
        query = match filter.players.as_slice() {
            [] => query,
            [player] => query.param("player", player),
            players => query.param("players", players),
        };
        query = match filter.games.as_slice() {
            [] => query,
            [game] => query.param("game", game),
            games => query.param("games", games),
        };
        for (name, time) in [("from", filter.from), ("before", filter.before)] {
            if let Some(time) = time {
                query = query.param(name, time);
            }
        }
        for (name, Key { hour, player, game }) in self.extent.keys() {
            query = query
                .param(&format!("{name}_hour"), hour)
                .with_setting(format!("param_{name}_player"), player.parameter())
                .param(&format!("{name}_game"), game);
        }
        query
    }

    /// [`Selection::query`] with the column names of the tables.
    pub(super) fn stored_query(
        &self,
        warehouse: &Warehouse,
        sql: &str,
        source: Source,
        limits: QueryLimits,
    ) -> Query {
        self.query(warehouse, sql, source, STORED, limits)
    }

    async fn estimate(
        &self,
        warehouse: &Warehouse,
        source: Source,
        limits: QueryLimits,
    ) -> Result<u64, WarehouseError> {
        #[derive(Row, Deserialize)]
        struct Estimate {
            #[serde(rename = "database")]
            _database: String,
            #[serde(rename = "table")]
            _table: String,
            #[serde(rename = "parts")]
            _parts: u64,
            rows: u64,
            #[serde(rename = "marks")]
            _marks: u64,
        }
        let query = self.stored_query(warehouse, ESTIMATE, source, limits);
        let found: Vec<Estimate> = query.fetch_all().await.map_err(|error| sort(error, limits))?;
        Ok(found.iter().map(|estimate| estimate.rows).sum())
    }

    /// Returns the conditions that apply, as fixed text.
    fn conditions(&self) -> String {
        let filter = self.filter;
        let mut conditions = Vec::new();
        // An equality keeps the order of the following columns; a set does not.
        match filter.players.len() {
            0 => {}
            1 => conditions.push("user_id = {player:String}".to_owned()),
            _ => conditions.push("user_id IN {players:Array(String)}".to_owned()),
        }
        match filter.games.len() {
            0 => {}
            1 => conditions.push("game_id = {game:UInt64}".to_owned()),
            _ => conditions.push("game_id IN {games:Array(UInt64)}".to_owned()),
        }
        if filter.from.is_some() {
            conditions.push("created_hour >= {from:UInt32}".to_owned());
        }
        if filter.before.is_some() {
            conditions.push("created_hour < {before:UInt32}".to_owned());
        }
        let (onwards, back) = if self.order.descending { ("<", ">") } else { (">", "<") };
        let columns = self.varying_columns();
        match self.extent {
            Extent::All => {}
            Extent::Nothing => conditions.push("false".to_owned()),
            Extent::After(_) => conditions.push(beyond(&columns, "after", onwards, false)),
            Extent::Between(_) => {
                conditions.push(beyond(&columns, "first", onwards, true));
                conditions.push(beyond(&columns, "last", back, true));
            }
        }
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
    }

    /// Returns the key columns in order, without those that the filters fix to one value.
    fn varying_columns(&self) -> Vec<Column> {
        let is_one = |column: Column| {
            column == PLAYER && self.filter.players.len() == 1
                || column == GAME && self.filter.games.len() == 1
        };
        columns(self.order.key).into_iter().filter(|column| !is_one(*column)).collect()
    }
}

/// A key column: its position in [`STORED`], the suffix of its parameters' names, and their type.
type Column = (usize, &'static str, &'static str);

const HOUR: Column = (0, "hour", "UInt32");
const PLAYER: Column = (1, "player", "String");
const GAME: Column = (2, "game", "UInt64");

/// Returns the key columns in the order of a sort key.
fn columns(key: SortKey) -> [Column; 3] {
    match key {
        SortKey::CreatedHour => [HOUR, PLAYER, GAME],
        SortKey::Player => [PLAYER, HOUR, GAME],
        SortKey::Game => [GAME, HOUR, PLAYER],
    }
}

/// Returns the condition that a key is beyond another one, column by column: ClickHouse does not use its index for tuple comparisons.
fn beyond(columns: &[Column], name: &str, comparison: &str, or_equal: bool) -> String {
    let Some((&(column, part, kind), rest)) = columns.split_first() else { return or_equal.to_string() };
    let value = format!("{{{name}_{part}:{kind}}}");
    let column = STORED[column];
    if rest.is_empty() {
        let equal = if or_equal { "=" } else { "" };
        return format!("{column} {comparison}{equal} {value}");
    }
    let rest = beyond(rest, name, comparison, or_equal);
    format!("({column} {comparison} {value} OR ({column} = {value} AND {rest}))")
}

/// Returns the ORDER BY list with all key columns, also those that a filter fixes. If the first column were left out, rows could come out
/// of order when ClickHouse reads along an order that has it (`read_in_order_use_virtual_row`,
/// <https://github.com/ClickHouse/ClickHouse/pull/110725>).
fn order_by(order: Order, names: [&str; 3]) -> String {
    let direction = if order.descending { " DESC" } else { "" };
    columns(order.key).map(|(column, _, _)| format!("{}{direction}", names[column])).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(players: usize, games: usize, has_dates: bool) -> Filter {
        Filter {
            players: (0..players).map(|player| player.to_string()).collect(),
            games: (0..games as u64).collect(),
            from: has_dates.then_some(0),
            before: None,
        }
    }

    #[test]
    fn rows_are_read_where_they_are_stored_together_or_in_order() {
        use Source::{Games, Hours, Players};
        let one = |filter: Filter, key| match choice(
            &filter,
            as_stored(&filter, Order { key, descending: false }).key,
        ) {
            Choice::One(source) => source,
            either @ Choice::Either { .. } => panic!("{either:?}"),
        };
        assert_eq!(one(filter(0, 0, false), SortKey::CreatedHour), Hours);
        assert_eq!(one(filter(0, 0, false), SortKey::Player), Players);
        assert_eq!(one(filter(0, 0, true), SortKey::CreatedHour), Hours);
        assert_eq!(one(filter(1, 5, true), SortKey::CreatedHour), Players);
        assert_eq!(one(filter(0, 1, true), SortKey::CreatedHour), Games);
        assert_eq!(one(filter(3, 1, true), SortKey::Player), Players);
        assert_eq!(one(filter(0, 3, true), SortKey::Game), Games);
        let either = Choice::Either { together: Players, in_order: Hours };
        assert_eq!(choice(&filter(2, 0, false), SortKey::CreatedHour), either);
        let either = Choice::Either { together: Games, in_order: Players };
        assert_eq!(choice(&filter(0, 1, false), SortKey::Player), either);
        let either = Choice::Either { together: Hours, in_order: Games };
        assert_eq!(choice(&filter(0, 0, true), SortKey::Game), either);
    }
}
