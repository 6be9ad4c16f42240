-- The last event of each pair. Merges keep the row with the highest position, so an older event never replaces a newer one. Use FINAL.
CREATE TABLE IF NOT EXISTS latest_prices
(
    base             LowCardinality(String),
    quote            LowCardinality(String),
    exchange         LowCardinality(String),
    price            Decimal(38, 18) CODEC(ZSTD(1)),
    base_volume_24h  Decimal(38, 18) CODEC(ZSTD(1)),
    quote_volume_24h Decimal(38, 18) CODEC(ZSTD(1)),
    timestamp        DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    position         UInt128 COMMENT 'By time, then by epoch and offset in Kafka' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (base, quote, exchange)
SETTINGS
    non_replicated_deduplication_window = 1000,
    index_granularity = 1024
COMMENT 'The last event of each pair; use FINAL'
