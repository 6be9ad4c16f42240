//! The differences that a job found. ClickHouse stores them; here they are counted and listed.

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use serde::Deserialize;
use uuid::Uuid;

use super::report::{Difference, FieldDifference, HourDifference, Kind, Sums};
use super::tables::in_time;
use crate::domain::columns::{self, Columns};
use crate::domain::timestamp;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Days that differences are kept. The TTL in `queries/engine/schema/022_reconcile_differences.sql` must be the same.
pub const DIFFERENCES_DAYS: u32 = 30;

/// The columns of a round whose values are kept, in the order of `differences.sql`.
pub const VALUES: [&str; 9] = [
    "created_timestamp",
    "user_id",
    "game_id",
    "real_amount_bet",
    "bonus_amount_bet",
    "real_amount_win",
    "bonus_amount_win",
    "game_name",
    "provider",
];

/// The sums of an hour, in the order of `differences.sql`.
pub const SUMS: [&str; 5] =
    ["rounds_played", "real_amount_bet", "bonus_amount_bet", "real_amount_win", "bonus_amount_win"];

/// The order of the table itself, so nothing has to be sorted.
const IN_ORDER: &str = "ORDER BY d.kind, d.line, d.game_instance_id, d.created_hour, d.user_id, d.game_id";

/// First rows, by line; then rounds that are not in the file; then hours.
const FIRST: &str = "ORDER BY multiIf(d.kind = 'unexpected', 1, d.kind = 'hour', 2, 0), d.line, d.game_instance_id, \
     d.created_hour, d.user_id, d.game_id LIMIT {limit:UInt64}";

/// One kind of difference, or all kinds.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    first: i8,
    last: i8,
}

impl Kinds {
    pub const ALL: Self = Self { first: 1, last: 6 };

    /// Rows that differ or are missing.
    pub(super) const DIFFERENT_OR_MISSING: Self = Self { first: 1, last: 2 };

    pub fn only(kind: Kind) -> Self {
        Self { first: kind.number(), last: kind.number() }
    }

    pub(super) fn of(self, query: Query) -> Query {
        query.param("first_kind", self.first).param("last_kind", self.last)
    }
}

/// The differences that one attempt of a job found.
#[derive(Clone, Debug)]
pub struct Differences {
    warehouse: Warehouse,
    job: Uuid,
    attempt: Uuid,
}

/// What `differences.sql` returns.
#[derive(Debug, Row, Deserialize)]
pub struct DifferenceRow {
    kind: String,
    line: u64,
    game_instance_id: u64,
    file: Vec<Option<String>>,
    stored: Vec<Option<String>>,
    upload_id: Option<String>,
    upload_line: Option<u64>,
    created_hour: Option<i64>,
    user_id: Option<String>,
    game_id: Option<u64>,
    expected: Vec<Option<String>>,
    aggregated: Vec<Option<String>>,
}

impl Differences {
    pub(super) fn new(warehouse: &Warehouse, job: Uuid, attempt: Uuid) -> Self {
        Self { warehouse: warehouse.clone(), job, attempt }
    }

    /// Returns the number of differences.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn count(&self, kinds: Kinds) -> Result<u64, WarehouseError> {
        let query = self.query(include_str!("../../queries/engine/reconcile/count_differences.sql"), kinds);
        in_time(query.fetch_one()).await
    }

    /// Starts to fetch the differences, kind by kind, each in the order of the file's lines.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub fn fetch(&self, kinds: Kinds) -> Result<RowCursor<DifferenceRow>, WarehouseError> {
        Ok(self.query(&in_order(IN_ORDER), kinds).fetch()?)
    }

    /// Returns the first differences.
    pub(super) async fn sample(
        &self,
        columns: &Columns,
        limit: usize,
    ) -> Result<Vec<Difference>, WarehouseError> {
        let query = self.query(&first(), Kinds::ALL).param("limit", limit);
        let rows: Vec<DifferenceRow> = in_time(query.fetch_all()).await?;
        Ok(rows.into_iter().filter_map(|row| row.difference(columns)).collect())
    }

    fn query(&self, sql: &str, kinds: Kinds) -> Query {
        let query = self.warehouse.query(sql).param("job", self.job.to_string());
        kinds.of(query.param("attempt", self.attempt.to_string()))
    }
}

/// The query of the first differences; it takes the parameters of [`Differences`] and `limit`.
pub(super) fn first() -> String {
    in_order(FIRST)
}

fn in_order(order: &str) -> String {
    format!("{}\n{order}", include_str!("../../queries/engine/reconcile/differences.sql"))
}

impl DifferenceRow {
    /// Names the fields of [`DifferenceRow::fields`].
    pub fn names() -> Vec<String> {
        let prefixed =
            |prefix, names: &'static [&'static str]| names.iter().map(move |name| format!("{prefix}_{name}"));
        let own = |names: &'static [&'static str]| names.iter().map(|name| (*name).to_owned());
        own(&["kind", "line", "game_instance_id", "differing"])
            .chain(prefixed("file", &VALUES))
            .chain(prefixed("stored", &VALUES))
            .chain(own(&["upload_id", "upload_line", "created_hour", "player_id", "game_id"]))
            .chain(prefixed("expected", &SUMS))
            .chain(prefixed("aggregated", &SUMS))
            .collect()
    }

    /// Returns all values of the difference. A value that is NULL or does not apply is empty. `differing` names the columns whose values
    /// in the file and in the table differ.
    pub fn fields(self, columns: &Columns) -> Vec<String> {
        let kind = Kind::of_name(&self.kind);
        let differing: Vec<&str> = match kind {
            Some(Kind::Different) => {
                let pairs = VALUES.iter().zip(self.file.iter().zip(&self.stored));
                pairs.filter(|(_, (file, stored))| file != stored).map(|(name, _)| *name).collect()
            }
            _ => Vec::new(),
        };
        let number = |number: u64, applies: bool| if applies { number.to_string() } else { String::new() };
        let values = |values: Vec<Option<String>>| {
            let named = VALUES.iter().zip(values);
            named.map(|(name, value)| shown(name, value, columns).unwrap_or_default())
        };
        let texts = |texts: Vec<Option<String>>| texts.into_iter().map(Option::unwrap_or_default);
        let mut fields = vec![
            number(self.line, kind.is_some_and(Kind::is_of_file)),
            number(self.game_instance_id, kind != Some(Kind::Hour)),
            differing.join(" "),
        ];
        fields.insert(0, self.kind);
        fields.extend(values(self.file));
        fields.extend(values(self.stored));
        fields.extend([
            self.upload_id.unwrap_or_default(),
            self.upload_line.map(|line| line.to_string()).unwrap_or_default(),
            self.created_hour.map(timestamp::format).unwrap_or_default(),
            self.user_id.unwrap_or_default(),
            self.game_id.map(|id| id.to_string()).unwrap_or_default(),
        ]);
        fields.extend(texts(self.expected));
        fields.extend(texts(self.aggregated));
        fields
    }

    /// Returns the difference in the form of the API, or none if another program wrote the row.
    pub fn difference(self, columns: &Columns) -> Option<Difference> {
        let kind = Kind::of_name(&self.kind)?;
        let is_round = kind != Kind::Hour;
        let named = |values: Vec<Option<String>>| {
            let named = VALUES.iter().zip(values);
            named.map(|(name, value)| ((*name).to_owned(), shown(name, value, columns))).collect()
        };
        let mut difference = Difference {
            kind,
            line: kind.is_of_file().then_some(self.line),
            game_instance_id: is_round.then_some(self.game_instance_id),
            ..Difference::of_kind(kind)
        };
        match kind {
            Kind::Different => {
                let pairs = VALUES.iter().zip(self.file.into_iter().zip(self.stored));
                difference.fields = pairs
                    .filter(|(_, (file, stored))| file != stored)
                    .map(|(name, (file, stored))| {
                        let value = FieldDifference {
                            file: shown(name, file, columns),
                            stored: shown(name, stored, columns),
                        };
                        ((*name).to_owned(), value)
                    })
                    .collect();
            }
            Kind::Missing | Kind::DuplicateInFile => difference.file = named(self.file),
            Kind::Unexpected | Kind::ContradictoryInFile => {
                if kind.is_of_file() {
                    difference.file = named(self.file);
                }
                // The first value is the time, which every stored round has.
                if matches!(self.stored.first(), Some(Some(_))) {
                    difference.stored = named(self.stored);
                }
                difference.upload_id = self.upload_id.and_then(|id| Uuid::try_parse(&id).ok());
                difference.upload_line = self.upload_line;
            }
            Kind::Hour => {
                difference.hour = Some(HourDifference {
                    created_hour: timestamp::format(self.created_hour?),
                    player_id: self.user_id?,
                    game_id: self.game_id?,
                    expected: sums(self.expected)?,
                    aggregated: sums(self.aggregated)?,
                });
            }
        }
        Some(difference)
    }
}

/// Returns the sums of an hour from texts in the order of [`SUMS`].
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
fn shown(name: &str, value: Option<String>, columns: &Columns) -> Option<String> {
    let is_time = columns.iter().any(|column| column.name == name && column.kind == columns::Kind::Timestamp);
    match value {
        Some(text) if is_time => Some(text.parse().map_or(text, timestamp::format)),
        value => value,
    }
}
