-- The last event of each pair. Merges keep the row with the highest position, so an older event never replaces a newer one. Use FINAL.
--
-- Servers read it when they start ([latest] in dataset.toml), so it also says where an event was in Kafka.
CREATE TABLE IF NOT EXISTS latest_prices
(
    base             LowCardinality(String),
    quote            LowCardinality(String),
    exchange         LowCardinality(String),
    price            Decimal(38, 18) CODEC(ZSTD(1)),
    base_volume_24h  Decimal(38, 18) CODEC(ZSTD(1)),
    quote_volume_24h Decimal(38, 18) CODEC(ZSTD(1)),
    timestamp        DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    kafka_epoch      UInt32,
    kafka_partition  UInt16,
    kafka_offset     UInt64 CODEC(ZSTD(1)),
    position         UInt256 COMMENT 'By time, then by epoch, offset and partition in Kafka' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (base, quote, exchange)
SETTINGS
    non_replicated_deduplication_window = 1000,
    index_granularity = 1024
COMMENT 'The last event of each pair; use FINAL'
