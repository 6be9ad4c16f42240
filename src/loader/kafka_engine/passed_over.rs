//! Messages that ClickHouse's consumer skipped: they are neither in `game_rounds` nor in `rejects`.
//!
//! ClickHouse produces no row for a message without a value. It also does not keep the bytes of a message that it can decode but that is
//! not a valid round. Such messages are read from the topic again, checked by Roundhouse's loader code, and written into `rejects` in the
//! same way. Only then are the offsets written to the ledger: every message counted as visible is in a table. If this is interrupted, it
//! is repeated, and offsets that are already in `rejects` are not checked twice.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use clickhouse::Row;
use clickhouse::query::Query;
use rdkafka::message::OwnedMessage;
use serde::Deserialize;

use super::reading::read;
use crate::loader::LoaderError;
use crate::loader::batch::BatchBuilder;
use crate::loader::chunk::Origin;
use crate::loader::content::Content;
use crate::loader::lease::Lease;
use crate::loader::needs::Loader;
use crate::loader::rejects;
use crate::warehouse::client::WarehouseError;

const BLOCKS: &str = include_str!("../../../queries/engine/kafka_engine/consumed_blocks.sql");
const COUNT_REJECTS: &str = include_str!("../../../queries/engine/loader/count_rejects.sql");
const PASSED_OVER: &str = include_str!("../../../queries/engine/kafka_engine/passed_over.sql");

/// Number of offsets that are checked at once.
const MAX_OFFSETS: u64 = 1 << 20;

#[derive(Debug, Row, Deserialize)]
struct Block {
    first_offset: u64,
    last_offset: u64,
    rejects: u64,
}

/// Searches an epoch of a topic for skipped messages.
pub(super) struct Search<'a> {
    loader: &'a Loader,
    lease: &'a Lease,
    epoch: u32,
    content: Content,
}

impl<'a> Search<'a> {
    /// # Errors
    /// No column of the schema identifies a round.
    pub(super) fn new(loader: &'a Loader, lease: &'a Lease, epoch: u32) -> Result<Self, LoaderError> {
        Ok(Self { loader, lease, epoch, content: Content::of(&loader.kind) })
    }

    /// Writes a reject for every skipped message in a range of offsets. Returns how many messages of the range are rejects of the topic.
    ///
    /// # Errors
    /// A service does not answer.
    pub(super) async fn rejects(
        &mut self,
        partition: u16,
        offsets: RangeInclusive<u64>,
    ) -> Result<u64, LoaderError> {
        let (first, last) = offsets.into_inner();
        let blocks: Vec<Block> =
            self.query(BLOCKS, partition, first, last).fetch_all().await.map_err(WarehouseError::from)?;
        let gaps = gaps(first, last, &blocks);
        for (first, count) in &gaps {
            let mut passed_over = self.passed_over(partition, *first, *count).await?;
            while !passed_over.is_empty() {
                let Loader { kafka, topic, .. } = self.loader;
                let messages = read(kafka, topic, partition, &mut passed_over).await?;
                self.write(&messages).await?;
            }
        }
        let has_rejects = !gaps.is_empty() || blocks.iter().any(|block| block.rejects > 0);
        if !has_rejects || matches!(self.content, Content::Rejects) {
            return Ok(0);
        }
        let query = self.query(COUNT_REJECTS, partition, first, last).param("topic", &self.loader.topic);
        let (rejects, _offsets): (u64, u64) = query.fetch_one().await.map_err(WarehouseError::from)?;
        Ok(rejects)
    }

    fn query(&self, sql: &str, partition: u16, first: u64, last: u64) -> Query {
        let query = self.loader.warehouse.query(sql).param("epoch", self.epoch);
        query.param("partition", partition).param("first", first).param("last", last)
    }

    async fn passed_over(
        &self,
        partition: u16,
        first: u64,
        count: u64,
    ) -> Result<BTreeSet<i64>, LoaderError> {
        let query = self.query(PASSED_OVER, partition, first, first + count - 1).param("count", count);
        let found: Vec<u64> = query.fetch_all().await.map_err(WarehouseError::from)?;
        Ok(found.into_iter().map(u64::cast_signed).collect())
    }

    async fn write(&mut self, messages: &[OwnedMessage]) -> Result<(), LoaderError> {
        for message in messages {
            self.content.learn_of(&self.loader.registry, message).await?;
        }
        let (topic, generation) = (self.loader.topic.as_str(), self.lease.generation);
        let mut builder = BatchBuilder::new(&self.content, Origin { topic, epoch: self.epoch, generation });
        for message in messages {
            builder.push_passed_over(message, &self.content);
        }
        let rejects = builder.finish(|_| 0).rejects;
        if rejects.is_empty() {
            return Ok(());
        }
        self.lease.insert_rows(&rejects::inbox().insert(), std::iter::once(rejects)).await
    }
}

fn gaps(first: u64, last: u64, blocks: &[Block]) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut next = first;
    let mut add = |mut from: u64, to: u64| {
        while from < to {
            let count = (to - from).min(MAX_OFFSETS);
            gaps.push((from, count));
            from += count;
        }
    };
    for block in blocks.iter().filter(|block| block.first_offset <= last) {
        add(next, block.first_offset);
        next = next.max(block.last_offset.saturating_add(1));
    }
    add(next, last.saturating_add(1));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_that_no_block_covers_are_looked_up() {
        let blocks = |blocks: &[(u64, u64)]| -> Vec<Block> {
            blocks
                .iter()
                .map(|&(first_offset, last_offset)| Block { first_offset, last_offset, rejects: 0 })
                .collect()
        };
        assert_eq!(gaps(0, 9, &blocks(&[(0, 9)])), []);
        assert_eq!(gaps(5, 9, &[]), [(5, 5)]);
        // One block was delivered twice, one reaches beyond the range.
        assert_eq!(
            gaps(0, 20, &blocks(&[(1, 4), (1, 4), (3, 8), (10, 12), (20, 30)])),
            [(0, 1), (9, 1), (13, 7)]
        );
        assert_eq!(gaps(0, MAX_OFFSETS, &[]), [(0, MAX_OFFSETS), (MAX_OFFSETS, 1)]);
    }
}
