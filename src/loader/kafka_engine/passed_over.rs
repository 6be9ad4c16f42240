//! Messages that ClickHouse's consumer has passed over: it made neither a round nor a reject of them.
//!
//! ClickHouse makes no row of a message without a value, and does not keep the bytes of a message that it can decode and that is no
//! round. So these are read from the topic once more, refused by the code of Roundhouse's loader, and written into `rejects` as
//! that would. Only then the ledger gets the offsets: what is visible has found its table. Whatever breaks off in between is
//! found again, and what is in `rejects` already is not looked at twice.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use clickhouse::Row;
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use serde::Deserialize;

use super::group::Group;
use crate::loader::LoaderError;
use crate::loader::chunks::{ChunkBuilder, Content, Origin};
use crate::loader::run::{INSERT_REJECTS, Loader};
use crate::warehouse::client::WarehouseError;

const BLOCKS: &str = include_str!("../../../queries/kafka_engine/consumed_blocks.sql");
const PASSED_OVER: &str = include_str!("../../../queries/kafka_engine/passed_over.sql");

/// Offsets that are looked up at once.
const MAX_OFFSETS: u64 = 1 << 20;

/// Bytes of messages that are read at once.
const MAX_BYTES: usize = 24 << 20;

#[derive(Debug, Row, Deserialize)]
struct Block {
    first_offset: u64,
    last_offset: u64,
}

/// Looks for what was passed over in an epoch of a topic.
pub(super) struct Search<'a> {
    loader: &'a Loader,
    group: &'a Group,
    epoch: u32,
    content: Content,
}

impl<'a> Search<'a> {
    /// # Errors
    /// The schema does not say what identifies a round.
    pub(super) fn new(loader: &'a Loader, group: &'a Group, epoch: u32) -> Result<Self, LoaderError> {
        Ok(Self { loader, group, epoch, content: Content::of(&loader.kind)? })
    }

    /// Makes rejects of all that was passed over in a range of offsets, and returns how many they are.
    ///
    /// # Errors
    /// A service does not answer.
    pub(super) async fn reject(
        &mut self,
        partition: u16,
        offsets: RangeInclusive<u64>,
    ) -> Result<u64, LoaderError> {
        let mut rejected = 0;
        for (first, count) in self.gaps(partition, offsets).await? {
            let mut passed_over = self.passed_over(partition, first, count).await?;
            while !passed_over.is_empty() {
                let messages = self.group.read(partition, &mut passed_over, MAX_BYTES).await?;
                rejected += messages.len() as u64;
                self.write(partition, &messages).await?;
            }
        }
        Ok(rejected)
    }

    /// Returns the parts of a range that no whole block covers: where each begins, and how many offsets it has.
    async fn gaps(
        &self,
        partition: u16,
        offsets: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, u64)>, LoaderError> {
        let (first, last) = offsets.into_inner();
        let query = self.loader.warehouse.query(BLOCKS).param("epoch", self.epoch);
        let query = query.param("partition", partition).param("first", first).param("last", last);
        let blocks: Vec<Block> = query.fetch_all().await.map_err(WarehouseError::from)?;
        Ok(gaps(first, last, &blocks))
    }

    async fn passed_over(
        &self,
        partition: u16,
        first: u64,
        count: u64,
    ) -> Result<BTreeSet<i64>, LoaderError> {
        let query = self.loader.warehouse.query(PASSED_OVER).param("epoch", self.epoch);
        let query = query.param("partition", partition).param("first", first).param("count", count);
        let found: Vec<u64> = query.fetch_all().await.map_err(WarehouseError::from)?;
        Ok(found.into_iter().map(u64::cast_signed).collect())
    }

    async fn write(&mut self, partition: u16, messages: &[OwnedMessage]) -> Result<(), LoaderError> {
        for message in messages {
            self.content.learn(&self.loader.registry, message.payload()).await?;
        }
        let origin = Origin { topic: &self.loader.topic, epoch: self.epoch, partition };
        let mut builder = ChunkBuilder::new(partition);
        for message in messages {
            builder.push_passed_over(message, &self.content, &origin);
        }
        let rejects = builder.finish(0).rejects;
        if rejects.is_empty() {
            return Ok(());
        }
        Ok(self.loader.warehouse.insert_rows(INSERT_REJECTS, rejects).await?)
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
    fn what_no_whole_block_covers_is_looked_up() {
        let blocks = |blocks: &[(u64, u64)]| -> Vec<Block> {
            blocks.iter().map(|&(first_offset, last_offset)| Block { first_offset, last_offset }).collect()
        };
        assert_eq!(gaps(0, 9, &blocks(&[(0, 9)])), []);
        assert_eq!(gaps(5, 9, &[]), [(5, 5)]);
        // One that was delivered twice, one that reaches beyond the range.
        assert_eq!(
            gaps(0, 20, &blocks(&[(1, 4), (1, 4), (3, 8), (10, 12), (20, 30)])),
            [(0, 1), (9, 1), (13, 7)]
        );
        assert_eq!(gaps(0, MAX_OFFSETS, &[]), [(0, MAX_OFFSETS), (MAX_OFFSETS, 1)]);
    }
}
