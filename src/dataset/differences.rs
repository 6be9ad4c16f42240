//! The table of the differences that reconciliations find. It has the columns of the schema with their types: of each field its value in the
//! file and its stored value; and of each aggregate table with sums its key, and the sums that were expected and found.
//!
//! Bets came first. Its table has the hours beside the rounds, under the names of their own columns. In the tables of other datasets,
//! the name of the aggregate table precedes the names of its columns, and a column says which table a difference is about.

use std::collections::HashSet;

use super::aggregates::AggregateTable;
use super::template::{Item, Template, inside};
use super::types::value_type;
use super::{BETS, Dataset};
use crate::domain::columns::Source;

/// The columns that every table of differences has.
const FIXED: [&str; 7] = ["job_id", "attempt", "kind", "line", "stored_upload_id", "stored_line", "found_at"];

/// The column that names the aggregate table.
const LABEL: &str = "aggregate_table";

/// An aggregate table whose sums are compared with those of the rows.
#[derive(Clone, Copy, Debug)]
pub struct ComparedTable<'a> {
    pub table: &'a AggregateTable,
    is_of_bets: bool,
}

impl ComparedTable<'_> {
    /// Its key, in the table of differences.
    pub fn groups(&self) -> Vec<Item> {
        let keys = self.table.keys.iter().zip(&self.table.key_types);
        keys.map(|(name, kind)| Item::new(self.named("", name), in_utc(kind))).collect()
    }

    /// The sums of the rows, there.
    pub fn expected(&self) -> Vec<Item> {
        self.sums("expected_")
    }

    /// The sums in the aggregate table, there.
    pub fn aggregated(&self) -> Vec<Item> {
        self.sums("aggregated_")
    }

    fn sums(&self, what: &str) -> Vec<Item> {
        let sums = self.table.sums.iter();
        sums.map(|(name, kind)| Item::new(self.named(what, name), signed_type(kind))).collect()
    }

    fn named(&self, what: &str, name: &str) -> String {
        match self.is_of_bets {
            true => format!("{what}{name}"),
            false => format!("{}_{what}{name}", self.table.table),
        }
    }
}

impl Dataset {
    /// Returns the aggregate tables that reconciliations compare: those with sums that a file determines.
    pub fn compared(&self) -> impl Iterator<Item = ComparedTable<'_>> {
        let tables = self.aggregates.iter().filter(|table| !table.sums.is_empty() && table.is_of_fields);
        tables.map(|table| ComparedTable { table, is_of_bets: self.name == BETS })
    }

    /// Returns [`Dataset::template`] with what statements need to know about an aggregate table.
    ///
    /// Name: `aggregate`, the table. Lists: `group` (its key), `sum` (its sums; whole numbers have the types of the table, in which they wrap
    /// around), `wide` (the same, with signed types that hold any sum of theirs); and in the same order, as the table of differences has them: `difference_group`, `expected`,
    /// `aggregated`.
    pub fn template_of(&self, compared: &ComparedTable<'_>) -> Template {
        let AggregateTable { table, keys, key_types, sums, .. } = compared.table;
        let keys = keys.iter().zip(key_types).map(|(name, kind)| Item::new(name, kind));
        let sums = || sums.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
        self.template()
            .with("aggregate", table)
            .list("group", keys)
            .list("sum", sums().map(|(name, kind)| Item::new(name, wrapping_type(kind))))
            .list("wide", sums().map(|(name, kind)| Item::new(name, signed_type(kind))))
            .list("difference_group", compared.groups())
            .list("expected", compared.expected())
            .list("aggregated", compared.aggregated())
    }

    /// Adds what statements need to know about the table of differences.
    ///
    /// Names: `upload_id` and `line`, the columns that say where a stored row comes from, or NULL; `count of keys`, which counts different keys
    /// of `file`; `kind of sums`; `aggregate table`, the name of the table that a difference is about, or an empty text. Lists: `label`, the column with that name, if there is one; and the columns of
    /// all aggregate tables: `all_group`, `all_expected`, `all_aggregated`.
    pub(super) fn with_differences(&self, template: Template) -> Template {
        let source = |source| match self.columns.iter().find(|column| column.source == source) {
            Some(column) => format!("`{}`", column.name),
            None => "NULL".to_owned(),
        };
        let is_bets = self.name == BETS;
        let label = (!is_bets).then(|| Item::new(LABEL, "LowCardinality(String)"));
        let all = |items: fn(&ComparedTable<'_>) -> Vec<Item>| -> Vec<Item> {
            self.compared().flat_map(|table| items(&table)).collect()
        };
        template
            .with("upload_id", source(Source::UploadId))
            .with("line", source(Source::Line))
            .with("count of keys", self.count_of_keys())
            .with("kind of sums", if is_bets { "hour" } else { "aggregate" })
            .with("aggregate table", if is_bets { "''" } else { LABEL })
            .list("label", label)
            .list("all_group", all(|table| table.groups()))
            .list("all_expected", all(|table| table.expected()))
            .list("all_aggregated", all(|table| table.aggregated()))
    }

    fn count_of_keys(&self) -> String {
        let key = self.columns.key().unwrap_or_default().iter().filter_map(|at| self.columns.get(*at));
        let key: Vec<String> = key.map(|column| format!("file.`{}`", column.name)).collect();
        match &key[..] {
            // A bitmap is the fastest way to count different numbers.
            [number] => format!("groupBitmap(toUInt64({number}))"),
            columns => format!("uniqExact({})", columns.join(", ")),
        }
    }

    /// Returns the columns of the table of differences that follow from fields and aggregate tables, with their types. They can be added later.
    pub fn optional_differences(&self) -> impl Iterator<Item = Item> {
        let key: HashSet<usize> = self.columns.key().unwrap_or_default().iter().copied().collect();
        let values =
            (0..).zip(self.columns.iter()).filter(move |(at, column)| column.is_field() && !key.contains(at));
        let sides = values.flat_map(|(_, column)| {
            let kind = value_type(column.kind);
            ["file", "stored"].map(|side| Item::new(format!("{side}_{}", column.name), &kind))
        });
        let of_table =
            |table: ComparedTable<'_>| [table.groups(), table.expected(), table.aggregated()].concat();
        let sums = self.compared().flat_map(of_table);
        sides.chain(sums).map(|Item { name, kind }| {
            let plain = inside(inside(&kind, "LowCardinality"), "Nullable");
            Item::new(name, format!("Nullable({plain})"))
        })
    }

    /// Returns a name that two columns of the table of differences would have.
    pub fn ambiguous_difference(&self) -> Option<String> {
        let key = self.columns.key().unwrap_or_default().iter().filter_map(|at| self.columns.get(*at));
        let mut names: Vec<String> = FIXED.iter().map(|name| (*name).to_owned()).collect();
        names.extend((self.name != BETS).then(|| LABEL.to_owned()));
        names.extend(key.map(|column| column.name.clone()));
        names.extend(self.optional_differences().map(|item| item.name));
        let mut seen = HashSet::new();
        names.iter().find(|name| !seen.insert(name.as_str())).cloned()
    }
}

/// Returns a signed type that holds the values of a sum, also where they are below zero.
fn signed_type(kind: &str) -> String {
    match kind.strip_prefix("Decimal(").and_then(|rest| rest.strip_suffix(')')?.split_once(", ")) {
        Some((precision, scale)) => {
            let precision = if precision.parse::<u8>().is_ok_and(|digits| digits > 38) { 76 } else { 38 };
            format!("Decimal({precision}, {scale})")
        }
        None if kind.ends_with("256") => "Int256".to_owned(),
        None if kind.ends_with("128") => "Int128".to_owned(),
        None => "Int64".to_owned(),
    }
}

/// Returns the type in which sums are compared: that of the table for a whole number, since additions to it wrap around.
fn wrapping_type(kind: &str) -> String {
    if kind.starts_with("Decimal") { signed_type(kind) } else { kind.to_owned() }
}

/// Returns the type of a key's column with times in UTC.
fn in_utc(kind: &str) -> String {
    let plain = inside(inside(kind, "LowCardinality"), "Nullable");
    let arguments = |name: &str| plain.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(arguments) = arguments("DateTime64") {
        let digits = arguments.split(',').next().unwrap_or(arguments);
        return format!("DateTime64({digits}, 'UTC')");
    }
    match plain == "DateTime" || arguments("DateTime").is_some() {
        true => "DateTime('UTC')".to_owned(),
        false => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_kept_in_signed_types_and_times_in_utc() {
        for (kind, wide) in [
            ("UInt64", "Int64"),
            ("Int32", "Int64"),
            ("UInt128", "Int128"),
            ("Int256", "Int256"),
            ("Decimal(18, 4)", "Decimal(38, 4)"),
            ("Decimal(76, 10)", "Decimal(76, 10)"),
        ] {
            assert_eq!(signed_type(kind), wide);
        }
        for (kind, utc) in [
            ("DateTime('Europe/Berlin')", "DateTime('UTC')"),
            ("DateTime", "DateTime('UTC')"),
            ("Nullable(DateTime64(3))", "DateTime64(3, 'UTC')"),
            ("DateTime64(6, 'Asia/Tokyo')", "DateTime64(6, 'UTC')"),
            ("LowCardinality(String)", "LowCardinality(String)"),
            ("Date", "Date"),
        ] {
            assert_eq!(in_utc(kind), utc);
        }
    }
}
