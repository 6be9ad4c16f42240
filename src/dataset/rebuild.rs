//! Rebuilds rows of an aggregate table: what the table holds for some keys, next to what its view makes of all rows.
//!
//! The statements in `queries/engine/repair` read this comparison. A sum is repaired by adding the difference. Any other column tolerates
//! repeated rows, so the right state is added or written in place of a wrong one.

use super::Dataset;
use super::aggregates::AggregateTable;
use super::template::{Item, Template};

/// Aggregate functions whose result depends on the order of rows, so that two right results may differ.
const ANY: [&str; 4] = ["any", "anyLast", "any_respect_nulls", "anyLast_respect_nulls"];

/// Aggregate functions whose results are arrays without an order.
const UNORDERED: [&str; 2] = ["groupUniqArray", "groupUniqArrayArray"];

impl Dataset {
    /// Returns what follows FROM so that a view reads all stored rows. A view leaves recounted rows out, but they belong to its sums.
    pub fn all_rows(&self) -> String {
        match self.has_key() {
            true => format!("(SELECT * REPLACE (false AS recounted) FROM {})", self.table),
            false => self.table.clone(),
        }
    }
}

impl AggregateTable {
    /// Returns the keys as one tuple, which `IN` compares with the tuples of a query.
    pub fn key(&self) -> String {
        format!("tuple({})", listed(self.quoted_keys()))
    }

    /// Returns the query of the keys of the rows that the view makes of `rows`, each once.
    pub fn keys_of(&self, rows: &str) -> String {
        format!("SELECT DISTINCT {} FROM ({})", listed(self.quoted_keys()), self.query_from(rows))
    }

    /// Returns the query that compares the table with its rows, for some keys. `rows`: what follows FROM in the view. `held`: what follows FROM
    /// for the rows of the table. `keys`: a query of tuples.
    ///
    /// Its columns: the keys; whether the view makes the key (`is_made`) and whether the table has it (`is_held`); then, for each other column,
    /// what must be there (`made_NAME`) and what is there (`held_NAME`).
    pub fn comparison(&self, rows: &str, held: &str, keys: &str) -> String {
        let key = self.key();
        let columns = listed(self.quoted_keys());
        let merged = self.sums.iter().chain(&self.others);
        let merged = listed(merged.map(|(name, kind)| format!("{} AS `{name}`", merged_value(name, kind))));
        let keys_typed = self.keys.iter().zip(&self.key_types);
        let values = self.sums.iter().chain(&self.others).map(|(name, kind)| (name, kind));
        let casts = listed(
            keys_typed.chain(values).map(|(name, kind)| format!("CAST(`{name}` AS {kind}) AS `{name}`")),
        );
        let shown = |side: &str| {
            let sums =
                self.sums.iter().map(|(name, _)| format!("ifNull({side}.`{name}`, 0) AS `{side}_{name}`"));
            let others = self.others.iter().map(|(name, _)| format!("{side}.`{name}` AS `{side}_{name}`"));
            listed(sums.chain(others))
        };
        format!(
            "SELECT {columns}, ifNull(made.is_there, false) AS is_made, ifNull(held.is_there, false) AS is_held, {made}, {held_values}\n\
             FROM (SELECT {columns}, true AS is_there, {merged} FROM (SELECT {casts} FROM (SELECT * FROM ({view}) WHERE {key} IN ({keys})))\n\
             GROUP BY {columns}) AS made\n\
             FULL JOIN (SELECT {columns}, true AS is_there, {merged} FROM {held} WHERE {key} IN ({keys}) GROUP BY {columns}) AS held\n\
             USING ({columns})",
            made = shown("made"),
            held_values = shown("held"),
            view = self.query_from(rows),
        )
    }

    /// Adds to a template what is known of this table.
    ///
    /// Names: `aggregate`, the table; `aggregate_columns`, those that the view returns; `group_key`, its keys as a tuple, and `group_type`, the type
    /// of that tuple; for statements that read a comparison `lacking`, the row that must be added, and `others_differ`, whether a column that is
    /// no sum is not as the view makes it. Lists: `group` (its keys), `sum`, and `other`, with the types of the table.
    pub fn template(&self, template: Template) -> Template {
        let items = |columns: &[(String, String)]| -> Vec<Item> {
            columns.iter().map(|(name, kind)| Item::new(name, kind)).collect()
        };
        let differ = self.others.iter().filter_map(|(name, kind)| {
            let [made, held] = ["made", "held"].map(|side| comparable(&format!("`{side}_{name}`"), kind));
            Some(format!("NOT ({} <=> {})", made?, held?))
        });
        let differ: Vec<String> = differ.collect();
        let differ = if differ.is_empty() { "false".to_owned() } else { differ.join(" OR ") };
        let keys = self.keys.iter().zip(&self.key_types).map(|(name, kind)| Item::new(name, kind));
        let sums =
            self.sums.iter().map(|(name, kind)| format!("CAST(`made_{name}` - `held_{name}` AS {kind})"));
        let others = self.others.iter().map(|(name, _)| format!("if(is_made, `made_{name}`, `held_{name}`)"));
        template
            .with("aggregate", &self.table)
            .with("group_key", self.key())
            .with("group_type", format!("Tuple({})", self.key_types.join(", ")))
            .with("others_differ", differ)
            .with("lacking", listed(self.quoted_keys().chain(sums).chain(others)))
            .with(
                "aggregate_columns",
                listed(self.quoted_keys().chain(quoted(&self.sums)).chain(quoted(&self.others))),
            )
            .list("group", keys)
            .list("sum", items(&self.sums))
            .list("other", items(&self.others))
    }

    fn quoted_keys(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| format!("`{key}`"))
    }
}

fn quoted(columns: &[(String, String)]) -> impl Iterator<Item = String> {
    columns.iter().map(|(name, _)| format!("`{name}`"))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// Splits the type of a column into its kind of state, aggregate function, and the function's parameters in brackets.
fn function(kind: &str) -> Option<(&str, &str, &str)> {
    let (state, rest) = kind.split_once('(')?;
    let arguments = rest.strip_suffix(')')?;
    let mut depth = 0_u32;
    let end = arguments.find(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let function = arguments.get(..end.unwrap_or(arguments.len()))?;
    let at = function.find('(').unwrap_or(function.len());
    let (name, parameters) = function.split_at(at);
    Some((state, name, parameters))
}

/// Returns the expression that combines the values of a column.
fn merged_value(name: &str, kind: &str) -> String {
    match function(kind) {
        Some(("SimpleAggregateFunction", function, parameters)) => {
            format!("{function}{parameters}(`{name}`)")
        }
        Some(("AggregateFunction", function, parameters)) => {
            format!("{function}MergeState{parameters}(`{name}`)")
        }
        // A sum, of which the type of the value is known.
        _ => format!("sum(`{name}`)"),
    }
}

/// Returns the expression by which two values of a column can be compared, if they can be.
fn comparable(value: &str, kind: &str) -> Option<String> {
    let (state, name, _) = function(kind)?;
    if ANY.contains(&name) {
        return None;
    }
    let value = match state {
        "AggregateFunction" => format!("finalizeAggregation({value})"),
        _ => value.to_owned(),
    };
    Some(if UNORDERED.contains(&name) { format!("arraySort({value})") } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_column_says_how_its_values_are_combined_and_compared() {
        for (kind, combined, compared) in [
            ("UInt64", "sum(`x`)", None),
            ("SimpleAggregateFunction(max, Decimal(18, 2))", "max(`x`)", Some("`x`")),
            ("SimpleAggregateFunction(anyLast, String)", "anyLast(`x`)", None),
            ("AggregateFunction(uniq, UInt64)", "uniqMergeState(`x`)", Some("finalizeAggregation(`x`)")),
            (
                "AggregateFunction(uniqCombined(12), Tuple(String, UInt64))",
                "uniqCombinedMergeState(12)(`x`)",
                Some("finalizeAggregation(`x`)"),
            ),
            (
                "SimpleAggregateFunction(groupUniqArrayArray, Array(String))",
                "groupUniqArrayArray(`x`)",
                Some("arraySort(`x`)"),
            ),
        ] {
            assert_eq!(merged_value("x", kind), combined);
            assert_eq!(comparable("`x`", kind).as_deref(), compared);
        }
    }
}
