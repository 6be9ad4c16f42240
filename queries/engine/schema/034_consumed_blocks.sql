-- What ClickHouse's own consumer has stored of a topic, block by block: the messages that became a round or a reject. If a block has fewer
-- of them than offsets, the server looks for the others (queries/engine/kafka_engine/passed_over.sql). A row is no longer needed once the ledger
-- has its offsets.
CREATE TABLE IF NOT EXISTS consumed_blocks
(
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    messages      UInt64 COMMENT 'Number of different offsets',
    rejects       UInt64 COMMENT 'Number of those that could not be decoded',
    written_at    DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (epoch, partition, first_offset)
TTL written_at + INTERVAL 7 DAY
COMMENT 'Blocks that ClickHouse has consumed; see --loader clickhouse'
