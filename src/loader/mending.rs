//! Mending: makes sure that a chunk that was inserted again after a crash is in every table exactly once.
//!
//! ClickHouse stores a block's token before it makes the block's part visible (`MergeTreeSink::commitPart`). An engine that is killed
//! between the two has the token without the rows, and drops the block when it is sent again. This is rare, but happened once in about
//! seventy kills during inserts. So after a repeat the token is not trusted: rows are counted by their offsets, and the sums of aggregate
//! tables are compared with those of their rows.
//!
//! Every step can be repeated: whatever a crash leaves unfinished, the next start finds the chunk noted but not done and begins here
//! again.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::LoaderError;
use super::chunk::{Chunk, Origin, Table};
use super::lease::Lease;
use crate::dataset::Dataset;
use crate::dataset::aggregates::AggregateTable;
use crate::warehouse::client::in_time;

/// How long one query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

/// Time between two checks of hours that differ: an insert that was given up may still be running.
const PAUSE: Duration = Duration::from_secs(1);

/// How often hours are checked before the session fails and is retried.
const MAX_LOOKS: u8 = 6;

impl Table {
    fn count(self) -> &'static str {
        match self {
            Self::Rows => include_str!("../../queries/engine/loader/count_rounds.sql"),
            Self::Rejects => include_str!("../../queries/engine/loader/count_rejects.sql"),
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::Rows => include_str!("../../queries/engine/loader/delete_rounds.sql"),
            Self::Rejects => include_str!("../../queries/engine/loader/delete_rejects.sql"),
        }
    }
}

/// The rows of a chunk in the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRows<'a> {
    pub(super) lease: &'a Lease,
    pub(super) origin: Origin<'a>,
    pub(super) chunk: &'a Chunk,
    /// The dataset of its rows; none for rejects.
    pub(super) dataset: Option<&'a Dataset>,
}

/// How many there are in one table.
#[derive(Debug, Row, Deserialize)]
struct Counted {
    rows: u64,
    offsets: u64,
}

/// How many rows of an aggregate table differ, and by what.
#[derive(Debug, Default, PartialEq, Eq, Row, Deserialize)]
struct Differences {
    rows: u64,
    digest: u64,
}

impl ChunkRows<'_> {
    /// Whether a table has each row of the chunk once. It may have more rows than the block if the topic has deleted some messages.
    pub(super) async fn is_whole(&self, table: Table, rows: u64) -> Result<bool, LoaderError> {
        let found: Counted = in_time(QUERY_TIMEOUT, self.query(table.count()).fetch_one()).await?;
        Ok(found.offsets >= rows && found.rows == found.offsets)
    }

    /// Whether no table has a row of the chunk.
    pub(super) async fn is_missing(&self) -> Result<bool, LoaderError> {
        for table in [Table::Rows, Table::Rejects] {
            let found: Counted = in_time(QUERY_TIMEOUT, self.query(table.count()).fetch_one()).await?;
            if found.rows > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn log_lost(&self, table: Table, rows: u64) {
        let topic = self.origin.topic;
        let Chunk { partition, first_offset: first, .. } = *self.chunk;
        tracing::warn!(
            topic,
            partition,
            first,
            ?table,
            rows,
            "rows of a chunk are missing or stored twice after a crash; inserting them again"
        );
    }

    /// Deletes the chunk's rows from a table, unless another server took the lease over.
    pub(super) async fn delete(&self, table: Table) -> Result<(), LoaderError> {
        let delete = self.query(table.delete()).with_setting("mutations_sync", "1");
        Ok(in_time(QUERY_TIMEOUT, delete.execute()).await?)
    }

    /// Sets the aggregate tables right for the keys that the chunk's rows have: sums become those of all rows, and what tolerates repeated
    /// rows is added again. Nothing else may be loading.
    pub(super) async fn mend(&self) -> Result<(), LoaderError> {
        for (dataset, table) in self.aggregate_tables() {
            self.mend_sums(dataset, table).await?;
            self.repeat(dataset, table).await?;
        }
        Ok(())
    }

    /// Does the same at once, for a chunk whose insert has just ended: no insert that was given up can still be running.
    pub(super) async fn recount(&self) -> Result<(), LoaderError> {
        for (dataset, table) in self.aggregate_tables() {
            if !table.sums.is_empty() {
                self.add_differences(dataset, table).await?;
            }
            self.repeat(dataset, table).await?;
        }
        Ok(())
    }

    fn aggregate_tables(&self) -> impl Iterator<Item = (&Dataset, &AggregateTable)> {
        self.dataset
            .into_iter()
            .flat_map(|dataset| dataset.aggregates.iter().map(move |table| (dataset, table)))
    }

    async fn mend_sums(&self, dataset: &Dataset, table: &AggregateTable) -> Result<(), LoaderError> {
        if table.sums.is_empty() {
            return Ok(());
        }
        let mut before = Differences::default();
        for _ in 0..MAX_LOOKS {
            let differences = self.differences(dataset, table).await?;
            if differences.rows == 0 {
                return Ok(());
            }
            if differences == before {
                tracing::warn!(
                    table = table.table,
                    rows = differences.rows,
                    "sums were lost in a crash; adding them"
                );
                self.add_differences(dataset, table).await?;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
            before = differences;
        }
        Err(LoaderError::SumsDiffer { table: table.table.clone(), rows: before.rows })
    }

    async fn differences(
        &self,
        dataset: &Dataset,
        table: &AggregateTable,
    ) -> Result<Differences, LoaderError> {
        let differences = table.differences(&dataset.all_rows(), &chunk_rows(dataset));
        // Only keys and sums: states of aggregate functions may differ in bytes although they are the same.
        let compared: Vec<&str> =
            table.keys.iter().chain(table.sums.iter().map(|(name, _)| name)).map(String::as_str).collect();
        let sql = format!(
            "SELECT count() AS rows, groupBitXor(cityHash64({})) AS digest FROM ({differences})",
            compared.join(", ")
        );
        Ok(in_time(QUERY_TIMEOUT, self.query(&sql).fetch_one()).await?)
    }

    async fn add_differences(&self, dataset: &Dataset, table: &AggregateTable) -> Result<(), LoaderError> {
        self.add(table, &table.differences(&dataset.all_rows(), &chunk_rows(dataset))).await
    }

    /// Adds the rows that the view makes of the chunk and that may be added again.
    async fn repeat(&self, dataset: &Dataset, table: &AggregateTable) -> Result<(), LoaderError> {
        self.add(table, &table.repeatable(&chunk_rows(dataset))).await
    }

    async fn add(&self, table: &AggregateTable, rows: &str) -> Result<(), LoaderError> {
        let AggregateTable { table: name, .. } = table;
        let columns = table.columns();
        let sql = format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM ({rows}) WHERE /* fence */");
        Ok(in_time(QUERY_TIMEOUT, one_part(self.query(&sql)).execute()).await?)
    }

    fn query(&self, sql: &str) -> Query {
        let sql = self.dataset.map_or_else(|| sql.to_owned(), |dataset| dataset.sql(sql));
        self.lease
            .change(&sql)
            .param("topic", self.origin.topic)
            .param("epoch", self.origin.epoch)
            .param("partition", self.chunk.partition)
            .param("first", self.chunk.first_offset)
            .param("last", self.chunk.last_offset)
    }
}

/// The rows of a chunk, in the same form.
fn chunk_rows(dataset: &Dataset) -> String {
    format!(
        "(SELECT * FROM {} WHERE kafka_epoch = {{epoch:UInt32}} AND kafka_partition = {{partition:UInt16}} \
         AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}})",
        dataset.all_rows()
    )
}

/// Makes an `INSERT SELECT` insert all rows as one part, so that a concurrent reader sees all of them or none.
pub(crate) fn one_part(insert: Query) -> Query {
    insert
        // Two equal differences are both needed.
        .with_setting("insert_deduplicate", "0")
        .with_setting("max_insert_threads", "1")
        .with_setting("min_insert_block_size_rows", "10000000")
        .with_setting("min_insert_block_size_bytes", "1073741824")
}
