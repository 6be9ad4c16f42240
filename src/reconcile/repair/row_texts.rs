//! Rows in the form of the row table, from different places: views are run on them.

use crate::dataset::Dataset;
use crate::dataset::types::column_type;
use crate::domain::columns::Column;

/// The columns of a row table that are not in the schema, of a row that is not stored.
const NOT_STORED: &str = "toUInt32(0) AS kafka_epoch, toUInt16(0) AS kafka_partition, toUInt64(0) AS kafka_offset, false AS recounted";

/// Returns the query of stored rows. `from`: the row table, with a condition.
pub(super) fn stored(dataset: &Dataset, from: &str) -> String {
    let columns = listed(dataset, |column| format!("`{}`", column.name));
    format!("SELECT {columns}, kafka_epoch, kafka_partition, kafka_offset, false AS recounted FROM {from}")
}

/// Returns the query of rows as the file has them, or as they were stored, which are in differences. `side`: `file` or `stored`.
pub(super) fn found(dataset: &Dataset, side: &str, from: &str) -> String {
    let key = dataset.columns.key().unwrap_or_default();
    let is_key = |column: &Column| key.iter().any(|&at| dataset.columns.get(at) == Some(column));
    let columns = listed(dataset, |column| {
        let (name, kind) = (&column.name, column_type(column));
        match column.is_field() {
            _ if is_key(column) => format!("`{name}`"),
            true if column.is_nullable() => format!("`{side}_{name}` AS `{name}`"),
            // No CAST: ClickHouse may evaluate it for rows that the condition leaves out, where it is null.
            true => format!("assumeNotNull(`{side}_{name}`) AS `{name}`"),
            // The server fills it in when the row is produced.
            false => format!("defaultValueOfTypeName('{}') AS `{name}`", kind.replace('\'', "\\'")),
        }
    });
    format!("SELECT {columns}, {NOT_STORED} FROM {from}")
}

/// Returns what follows FROM so that a view reads stored rows with the file's values in place of theirs, and the file's rows that are not
/// stored. `rows`: those that are stored. `left`: what follows FROM for differences with the file's values.
pub(super) fn with_file(dataset: &Dataset, rows: &str, left: &str) -> String {
    let keys = dataset.sql("/* each key: `$name` */");
    let others = stored(dataset, &format!("{rows} WHERE ({keys}) NOT IN (SELECT {keys} FROM {left})"));
    format!("({others}\nUNION ALL\n{})", found(dataset, "file", left))
}

fn listed(dataset: &Dataset, make: impl Fn(&Column) -> String) -> String {
    dataset.columns.iter().map(make).collect::<Vec<_>>().join(", ")
}
