//! How a difference is shown: with the names of the dataset's columns, in the form of the API.

use clickhouse::Row;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::report::{
    AggregateDifference, Difference, FieldDifference, HourDifference, Keyed, Kind, Sums, Values,
};
use crate::dataset::differences::ComparedTable;
use crate::dataset::template::{Item, inside};
use crate::dataset::types::value_type;
use crate::dataset::{BETS, Dataset};
use crate::domain::columns::Column;

/// What `differences.sql` returns. [`Shape`] gives it names.
#[derive(Debug, Row, Deserialize)]
pub struct DifferenceRow {
    kind: i8,
    line: u64,
    key: Vec<String>,
    file: Vec<Option<String>>,
    stored: Vec<Option<String>>,
    upload_id: Option<String>,
    upload_line: Option<u64>,
    aggregate: String,
    groups: Vec<Option<String>>,
    expected: Vec<Option<String>>,
    aggregated: Vec<Option<String>>,
}

/// The columns of an aggregate table in the table of differences.
#[derive(Clone, Debug)]
struct Aggregate {
    table: String,
    keys: Vec<Item>,
    sums: Vec<Item>,
    /// As the table of differences has them.
    names: [Vec<String>; 3],
    /// Where its key begins among those of all tables, and where its sums do.
    at: (usize, usize),
}

impl Aggregate {
    fn new(compared: &ComparedTable<'_>, at: (usize, usize)) -> Self {
        let pairs = |names: &[String], items: Vec<Item>| -> Vec<Item> {
            names.iter().zip(items).map(|(name, item)| Item::new(name, item.kind)).collect()
        };
        let names = |items: Vec<Item>| items.into_iter().map(|item| item.name).collect();
        let sums: Vec<String> = compared.table.sums.iter().map(|(name, _)| name.clone()).collect();
        Self {
            table: compared.table.table.clone(),
            keys: pairs(&compared.table.keys, compared.groups()),
            sums: pairs(&sums, compared.expected()),
            names: [compared.groups(), compared.expected(), compared.aggregated()].map(names),
            at,
        }
    }

    fn keyed(items: &[Item], values: &[Option<String>], at: usize) -> Keyed {
        let values = items.iter().zip(values.iter().skip(at));
        values
            .map(|(Item { name, kind }, value)| (name.clone(), number_or_text(kind, value.clone())))
            .collect()
    }

    fn difference(&self, row: &DifferenceRow) -> AggregateDifference {
        AggregateDifference {
            table: self.table.clone(),
            key: Self::keyed(&self.keys, &row.groups, self.at.0),
            expected: Self::keyed(&self.sums, &row.expected, self.at.1),
            aggregated: Self::keyed(&self.sums, &row.aggregated, self.at.1),
        }
    }

    /// Returns its values, in the order of its names.
    fn fields(&self, row: &DifferenceRow) -> Vec<String> {
        let part = |items: &[Item], values: &[Option<String>], at: usize| -> Vec<String> {
            let values = items.iter().zip(values.iter().skip(at));
            values.map(|(item, value)| shown(&item.kind, value.clone()).unwrap_or_default()).collect()
        };
        [
            part(&self.keys, &row.groups, self.at.0),
            part(&self.sums, &row.expected, self.at.1),
            part(&self.sums, &row.aggregated, self.at.1),
        ]
        .concat()
    }
}

/// How differences of a dataset are shown.
#[derive(Clone, Debug)]
pub struct Shape {
    dataset: String,
    key: Vec<Item>,
    values: Vec<Item>,
    aggregates: Vec<Aggregate>,
}

impl Shape {
    pub fn new(dataset: &Dataset) -> Self {
        let item = |column: &Column| Item::new(&column.name, value_type(column.kind));
        let key = dataset.columns.key().unwrap_or_default();
        let is_value = |(at, column): &(usize, &Column)| column.is_field() && !key.contains(at);
        let mut aggregates = Vec::new();
        let mut at = (0, 0);
        for compared in dataset.compared() {
            aggregates.push(Aggregate::new(&compared, at));
            at = (at.0 + compared.table.keys.len(), at.1 + compared.table.sums.len());
        }
        Self {
            dataset: dataset.name.clone(),
            key: key.iter().filter_map(|at| dataset.columns.get(*at)).map(item).collect(),
            values: (0..)
                .zip(dataset.columns.iter())
                .filter(is_value)
                .map(|(_, column)| item(column))
                .collect(),
            aggregates,
        }
    }

    fn is_of_bets(&self) -> bool {
        self.dataset == BETS
    }

    /// Names the fields of [`Shape::fields`].
    pub fn names(&self) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let names = |items: &[Item]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
        let side =
            |side: &str| self.values.iter().map(|item| format!("{side}_{}", item.name)).collect::<Vec<_>>();
        let label: &[&str] = if self.is_of_bets() { &[] } else { &["aggregate_table"] };
        let mut all = [
            own(&["kind", "line"]),
            names(&self.key),
            own(&["differing"]),
            side("file"),
            side("stored"),
            own(&["upload_id", "upload_line"]),
            own(label),
        ]
        .concat();
        all.extend(
            self.aggregates.iter().flat_map(|table| table.names.concat()).map(|name| self.shown_name(name)),
        );
        all
    }

    /// The API calls the `user_id` of an hour `player_id`.
    fn shown_name(&self, name: String) -> String {
        if self.is_of_bets() && name == "user_id" { "player_id".to_owned() } else { name }
    }

    /// Returns all values of a difference. A value that is NULL or does not apply is empty. `differing` names the columns whose values
    /// in the file and in the table differ.
    pub fn fields(&self, row: DifferenceRow) -> Vec<String> {
        let kind = Kind::of_number(row.kind, &self.dataset);
        let differing: Vec<&str> = match kind {
            Some(Kind::Different) => self.differing(&row).map(|(item, _)| item.name.as_str()).collect(),
            _ => Vec::new(),
        };
        let is_row = !matches!(kind, Some(Kind::Hour | Kind::Aggregate));
        let values = |items: &[Item], values: &[Option<String>]| -> Vec<String> {
            items
                .iter()
                .zip(values)
                .map(|(item, value)| shown(&item.kind, value.clone()).unwrap_or_default())
                .collect()
        };
        let key = row.key.iter().map(|value| is_row.then(|| value.clone())).collect::<Vec<_>>();
        let line = if kind.is_some_and(Kind::is_of_file) { row.line.to_string() } else { String::new() };
        let mut fields = vec![kind.map_or("", Kind::name).to_owned(), line];
        fields.extend(values(&self.key, &key));
        fields.push(differing.join(" "));
        fields.extend(values(&self.values, &row.file));
        fields.extend(values(&self.values, &row.stored));
        fields.push(row.upload_id.clone().unwrap_or_default());
        fields.push(row.upload_line.map(|line| line.to_string()).unwrap_or_default());
        if !self.is_of_bets() {
            fields.push(row.aggregate.clone());
        }
        fields.extend(self.aggregates.iter().flat_map(|table| table.fields(&row)));
        fields
    }

    /// Returns the columns whose values in the file and in the table differ, with both.
    fn differing<'a>(
        &'a self,
        row: &'a DifferenceRow,
    ) -> impl Iterator<Item = (&'a Item, (&'a Option<String>, &'a Option<String>))> {
        let pairs = self.values.iter().zip(row.file.iter().zip(&row.stored));
        pairs.filter(|(_, (file, stored))| file != stored)
    }

    /// Returns a difference in the form of the API, or none if another program wrote the row.
    pub fn difference(&self, row: DifferenceRow) -> Option<Difference> {
        let kind = Kind::of_number(row.kind, &self.dataset)?;
        let mut difference =
            Difference { line: kind.is_of_file().then_some(row.line), ..Difference::of_kind(kind) };
        match kind {
            Kind::Hour => {
                difference.hour = Some(self.hour(&row)?);
                return Some(difference);
            }
            Kind::Aggregate => {
                let table = self.aggregates.iter().find(|aggregate| aggregate.table == row.aggregate)?;
                difference.aggregate = Some(table.difference(&row));
                return Some(difference);
            }
            Kind::Different => {
                let pairs = self.differing(&row).map(|(Item { name, kind }, (file, stored))| {
                    let (file, stored) = (shown(kind, file.clone()), shown(kind, stored.clone()));
                    (name.clone(), FieldDifference { file, stored })
                });
                difference.fields = pairs.collect();
            }
            Kind::Missing | Kind::DuplicateInFile => difference.file = self.named(&row.file),
            Kind::Unexpected | Kind::ContradictoryInFile => {
                if kind.is_of_file() {
                    difference.file = self.named(&row.file);
                }
                if kind == Kind::Unexpected || row.stored.iter().any(Option::is_some) {
                    difference.stored = self.named(&row.stored);
                }
                difference.upload_id = row.upload_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
                difference.upload_line = row.upload_line;
            }
        }
        match self.is_of_bets() {
            true => difference.game_instance_id = row.key.first()?.parse().ok(),
            false => {
                let values = self.key.iter().zip(row.key);
                let values = values
                    .map(|(Item { name, kind }, value)| (name.clone(), number_or_text(kind, Some(value))));
                difference.key = values.collect();
            }
        }
        Some(difference)
    }

    fn named(&self, values: &[Option<String>]) -> Values {
        let named = self.values.iter().zip(values);
        named.map(|(item, value)| (item.name.clone(), shown(&item.kind, value.clone()))).collect()
    }

    fn hour(&self, row: &DifferenceRow) -> Option<HourDifference> {
        let [hour, player, game] = row.groups.get(..3)? else { return None };
        Some(HourDifference {
            created_hour: rfc3339(hour.as_ref()?),
            player_id: player.clone()?,
            game_id: game.as_ref()?.parse().ok()?,
            expected: sums(row.expected.clone())?,
            aggregated: sums(row.aggregated.clone())?,
        })
    }
}

/// Returns the sums of an hour of bets from texts in the order of its table.
pub(super) fn sums(sums: Vec<Option<String>>) -> Option<Sums> {
    let mut sums = sums.into_iter().flatten();
    Some(Sums {
        rounds_played: sums.next()?.parse().ok()?,
        real_amount_bet: sums.next()?,
        bonus_amount_bet: sums.next()?,
        real_amount_win: sums.next()?,
        bonus_amount_win: sums.next()?,
    })
}

/// Formats a time as the API does, and leaves other values as they are.
fn shown(kind: &str, value: Option<String>) -> Option<String> {
    let is_time = inside(inside(kind, "LowCardinality"), "Nullable").starts_with("DateTime");
    match value {
        Some(text) if is_time => Some(rfc3339(&text)),
        value => value,
    }
}

/// Returns a whole number of up to 64 bits as a number, and another value as a text.
pub(super) fn number_or_text(kind: &str, value: Option<String>) -> Value {
    let plain = inside(inside(kind, "LowCardinality"), "Nullable");
    let is_number = (plain.starts_with("Int") || plain.starts_with("UInt"))
        && !plain.ends_with("128")
        && !plain.ends_with("256");
    match shown(kind, value) {
        None => Value::Null,
        Some(text) if is_number => match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => text.into(),
        },
        Some(text) => text.into(),
    }
}

/// Returns a time of ClickHouse in UTC as RFC 3339, with milliseconds or microseconds only where there are any.
fn rfc3339(text: &str) -> String {
    let (time, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = match fraction.trim_end_matches('0').len() {
        0 => 0,
        1..=3 => 3,
        _ => fraction.len(),
    };
    let point = if digits == 0 { "" } else { "." };
    format!("{}{point}{}Z", time.replace(' ', "T"), fraction.get(..digits).unwrap_or(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_everywhere_in_the_api() {
        for (text, expected) in [
            ("2019-10-22 08:20:41", "2019-10-22T08:20:41Z"),
            ("2019-10-22 08:20:41.000", "2019-10-22T08:20:41Z"),
            ("2019-10-22 08:20:41.500", "2019-10-22T08:20:41.500Z"),
            ("2019-10-22 08:20:41.500000", "2019-10-22T08:20:41.500Z"),
            ("2019-10-22 08:20:41.500001", "2019-10-22T08:20:41.500001Z"),
        ] {
            assert_eq!(shown("Nullable(DateTime64(6, 'UTC'))", Some(text.to_owned())).unwrap(), expected);
        }
        assert_eq!(shown("String", Some("2019-10-22 08:20".to_owned())).unwrap(), "2019-10-22 08:20");
    }

    #[test]
    fn whole_numbers_are_numbers_and_other_values_are_text() {
        for (kind, text, expected) in [
            ("UInt64", "18446744073709551615", "18446744073709551615"),
            ("Nullable(Int64)", "-3", "-3"),
            ("Int128", "3", "\"3\""),
            ("Decimal(38, 8)", "3", "\"3\""),
            ("LowCardinality(String)", "3", "\"3\""),
        ] {
            assert_eq!(number_or_text(kind, Some(text.to_owned())).to_string(), expected);
        }
        assert_eq!(number_or_text("UInt64", None), Value::Null);
    }

    #[test]
    fn the_columns_of_bets_are_in_their_order() {
        let names = Shape::new(&Dataset::read(BETS, &[]).unwrap()).names();
        let expected = "kind line game_instance_id differing file_created_timestamp file_user_id file_game_id file_real_amount_bet \
                        file_bonus_amount_bet file_real_amount_win file_bonus_amount_win file_game_name file_provider \
                        stored_created_timestamp";
        assert!(names.join(" ").starts_with(expected), "{names:?}");
    }
}
