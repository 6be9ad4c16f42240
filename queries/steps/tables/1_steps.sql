-- Every message of the topic: the columns of schemas/steps.avsc, and its position in Kafka.
--
-- A chain that is sent twice is stored twice. Queries must not depend on it: they use DISTINCT, GROUP BY with min or max, or LIMIT BY.
--
-- The projection holds the same rows ordered by value, in the same parts: a row is in both orders or in none. It answers which chains
-- contain a value.
CREATE TABLE IF NOT EXISTS steps
(
    number          UInt64 CODEC(Delta, ZSTD(1)),
    step            UInt64 CODEC(Delta, ZSTD(1)),
    value           Decimal(38, 0) CODEC(ZSTD(1)),
    produced_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kafka_epoch     UInt32 COMMENT 'Epoch of the topic, see loader_topics',
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    PROJECTION by_value (SELECT value, number ORDER BY value, number)
)
ENGINE = MergeTree
ORDER BY (number, step)
SETTINGS
    non_replicated_deduplication_window = 1000,
    -- A chain has a few hundred rows. Small granules avoid reading many other rows with them.
    index_granularity = 1024,
    min_compress_block_size = 16384
COMMENT 'Steps of chains, as many times as they were sent'
