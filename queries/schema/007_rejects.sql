-- Rejected lines from the dead-letter topic, and messages that could not be decoded.
CREATE TABLE IF NOT EXISTS rejects
(
    upload_id        String COMMENT 'Empty for a message that could not be decoded, and for a gap',
    line             UInt64,
    column           String COMMENT 'Empty if the whole line is invalid',
    code             LowCardinality(String),
    reason           String,
    raw              String,
    kafka_topic      LowCardinality(String),
    kafka_epoch      UInt32,
    kafka_partition  UInt16,
    kafka_offset     UInt64,
    loaded_at        DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (upload_id, line)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Rejected lines, and messages that could not be decoded'
