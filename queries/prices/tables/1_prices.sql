-- Every message of the topic: the columns of schemas/prices.avsc, and its position in Kafka. Rows are deleted two days after they were
-- loaded; the candles and the latest prices keep what they need.
--
-- The age is that of loading, not of the event: so the loader can count the rows of a chunk after a crash, and a file with old events is
-- complete for two days.
CREATE TABLE IF NOT EXISTS prices
(
    base             LowCardinality(String),
    quote            LowCardinality(String),
    exchange         LowCardinality(String),
    price            Decimal(38, 18) CODEC(ZSTD(1)),
    base_volume_24h  Decimal(38, 18) CODEC(ZSTD(1)),
    quote_volume_24h Decimal(38, 18) CODEC(ZSTD(1)),
    timestamp        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kafka_epoch      UInt32 COMMENT 'Epoch of the topic, see loader_topics',
    kafka_partition  UInt16,
    kafka_offset     UInt64 CODEC(Delta, ZSTD(1)),
    loaded_at        DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (base, quote, exchange, timestamp)
TTL loaded_at + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Price events of the last two days'
