//! Ranges of keys, in the order of the key. ClickHouse has their ends in a table of the job, with their types, and takes them from there:
//! a key may be a text of any length, with any characters.

use std::fmt::Write;

use clickhouse::query::Query;

use super::tables::{Tables, in_time};
use crate::dataset::Dataset;
use crate::warehouse::client::WarehouseError;

/// The keys after the end of the range before it, up to its own. The first range has no beginning, and the last one no end: stored rows of
/// other files may be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    number: u64,
    is_last: bool,
}

impl Range {
    /// Finds the range with this number. It has `size` rows of the file, and the others with the key of the last one.
    pub(super) async fn find(tables: &Tables, number: u64, size: u64) -> Result<Self, WarehouseError> {
        let rest = Self { number, is_last: true };
        let query = rest.query(tables, include_str!("../../queries/engine/reconcile/next_range.sql"));
        tables.execute(query.param("number", number).param("offset", size.saturating_sub(1))).await?;
        let query = tables.query(include_str!("../../queries/engine/reconcile/has_range.sql"));
        let has_end: bool = in_time(query.param("number", number).fetch_one()).await?;
        Ok(Self { number, is_last: !has_end })
    }

    pub(super) fn is_last(self) -> bool {
        self.is_last
    }

    /// A query that may say `/* in range */` where it reads the rows of a table with the key.
    pub(super) fn query(self, tables: &Tables, sql: &str) -> Query {
        let condition = self.condition(tables.dataset(), &tables.name("ranges"));
        tables.filled(&tables.dataset().template().with("in range", condition).fill(sql))
    }

    /// Returns the condition on the columns of the key.
    pub(super) fn condition(self, dataset: &Dataset, ranges: &str) -> String {
        let key = dataset.columns.key().unwrap_or_default();
        let key: Vec<&str> =
            key.iter().filter_map(|at| Some(dataset.columns.get(*at)?.name.as_str())).collect();
        let end = |number: u64| {
            move |name: &str| format!("(SELECT `{name}` FROM {ranges} WHERE `range number` = {number})")
        };
        let mut sides = Vec::new();
        if let Some(before) = self.number.checked_sub(1) {
            sides.push(beyond(&key, ">", ">", &end(before)));
        }
        if !self.is_last {
            sides.push(beyond(&key, "<", "<=", &end(self.number)));
        }
        if sides.is_empty() { "true".to_owned() } else { format!("({})", sides.join(" AND ")) }
    }
}

/// Compares a key with an end of a range, column by column. `a > x OR (a = x AND b > y)` uses the order of a table, `(a, b) > (x, y)` does not.
fn beyond(key: &[&str], sign: &str, last_sign: &str, end: &impl Fn(&str) -> String) -> String {
    let mut condition = String::new();
    for (at, name) in key.iter().enumerate() {
        let end = end(name);
        // Writing to a String cannot fail.
        let _ = if at + 1 == key.len() {
            write!(condition, "(`{name}` {last_sign} {end})")
        } else {
            write!(condition, "(`{name}` {sign} {end} OR (`{name}` = {end} AND ")
        };
    }
    condition + &"))".repeat(key.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_several_columns_is_compared_column_by_column() {
        let end = |name: &str| format!("last_{name}");
        assert_eq!(beyond(&["id"], ">", ">", &end), "(`id` > last_id)");
        assert_eq!(
            beyond(&["a", "b", "id"], "<", "<=", &end),
            "(`a` < last_a OR (`a` = last_a AND (`b` < last_b OR (`b` = last_b AND (`id` <= last_id)))))"
        );
    }

    #[test]
    fn the_first_range_has_no_beginning_and_the_last_one_no_end() {
        let bets = Dataset::read("bets", &[]).unwrap();
        let condition = |number, is_last| Range { number, is_last }.condition(&bets, "ranges");
        assert_eq!(condition(0, true), "true");
        let end = |number| format!("(SELECT `game_instance_id` FROM ranges WHERE `range number` = {number})");
        assert_eq!(condition(0, false), format!("((`game_instance_id` <= {}))", end(0)));
        let both = format!("((`game_instance_id` > {}) AND (`game_instance_id` <= {}))", end(1), end(2));
        assert_eq!(condition(2, false), both);
        assert_eq!(condition(3, true), format!("((`game_instance_id` > {}))", end(2)));
    }
}
