-- The length and the highest value of each chain. An insert may have only a part of a chain, so a number can have several rows until they are
-- merged: use max() over the number, or FINAL. A maximum does not change when the same rows come again.
CREATE TABLE IF NOT EXISTS chains
(
    number  UInt64 CODEC(Delta, ZSTD(1)),
    steps   SimpleAggregateFunction(max, UInt64) COMMENT 'Steps until 1',
    highest SimpleAggregateFunction(max, Decimal(38, 0)) COMMENT 'The highest value'
)
ENGINE = AggregatingMergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Length and highest value of each chain; use max() over the number'
