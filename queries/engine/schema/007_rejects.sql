-- Rejected lines from the dead-letter topic, and messages that could not be decoded.
CREATE TABLE IF NOT EXISTS rejects
(
    upload_id        String COMMENT 'Empty for a message that could not be decoded, and for a gap',
    line             UInt64,
    byte_offset      UInt64 COMMENT 'Byte offset of the line in the uploaded file',
    column           String COMMENT 'Empty if the whole line is invalid',
    code             LowCardinality(String),
    reason           String,
    faults           String COMMENT 'All faults of the row, as a JSON array of column, code, reason and value; empty: only the first one is known',
    codes            Array(String) ALIAS arrayDistinct(arrayConcat([toString(code)], arrayMap(fault -> JSONExtractString(fault, 'code'), JSONExtractArrayRaw(faults)))) COMMENT 'The codes of all faults',
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
