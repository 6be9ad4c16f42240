-- Lines that were not accepted, from the dead-letter topic, and messages that could not be decoded.
CREATE TABLE IF NOT EXISTS rejects
(
    upload_id        String COMMENT 'Empty: a message of the topic itself',
    line             UInt64,
    column           String COMMENT 'Empty: the whole line',
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
COMMENT 'Lines and messages that were not accepted'
