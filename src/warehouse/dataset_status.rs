//! How much of datasets is stored, was added lately, and was rejected.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};
use super::limited::{QueryLimits, limited, sort};
use super::uploads::Loaded;

/// What a table takes.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct TableSize {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
}

/// Numbers of rows by topic.
#[derive(Row, Deserialize)]
struct TopicRows {
    topic: String,
    rows: u64,
}

#[derive(Row, Deserialize)]
struct Rejected {
    topic: String,
    name: String,
    rows: u64,
}

/// Returns the sizes of all tables of the database.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn sizes(warehouse: &Warehouse, limits: QueryLimits) -> Result<Vec<TableSize>, WarehouseError> {
    let query = limited(warehouse, include_str!("../../queries/engine/status/tables.sql"), limits);
    query.fetch_all().await.map_err(|error| sort(error, limits))
}

/// Returns how many rows of these topics were added to the tables in the last minute.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn last_minute(
    warehouse: &Warehouse,
    topics: &[&str],
    limits: QueryLimits,
) -> Result<BTreeMap<String, u64>, WarehouseError> {
    let query = limited(warehouse, include_str!("../../queries/engine/status/last_minute.sql"), limits);
    let rows = query.param("topics", topics).fetch_all::<TopicRows>().await;
    let rows = rows.map_err(|error| sort(error, limits))?;
    Ok(rows.into_iter().map(|row| (row.topic, row.rows)).collect())
}

/// Returns how many rejects of each code these topics have, without those that a replay has sent since.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn rejects(
    warehouse: &Warehouse,
    topics: &[&str],
    limits: QueryLimits,
) -> Result<BTreeMap<String, BTreeMap<String, u64>>, WarehouseError> {
    let query = limited(warehouse, include_str!("../../queries/engine/status/rejects.sql"), limits);
    let rows = query.param("topics", topics).fetch_all::<Rejected>().await;
    let mut by_topic: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for Rejected { topic, name, rows } in rows.map_err(|error| sort(error, limits))? {
        by_topic.entry(topic).or_default().insert(name, rows);
    }
    Ok(by_topic)
}

impl Loaded {
    /// Returns how many messages of the topic as it is now are not loaded yet. `ends`: the first and the next offset of each partition.
    pub fn behind(&self, ends: &BTreeMap<u16, (i64, i64)>) -> u64 {
        let epochs = self.current_epochs();
        let missing = |(partition, (first, next)): (&u16, &(i64, i64))| {
            let loaded = self.next(*partition, &epochs).max(first.cast_unsigned());
            next.cast_unsigned().saturating_sub(loaded)
        };
        ends.iter().map(missing).sum()
    }
}
