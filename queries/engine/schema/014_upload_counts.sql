-- How many accepted rows of an upload were new, duplicates and conflicts, chunk by chunk. A chunk that is loaded again writes the same rows;
-- FINAL returns each once. Written before the chunk is marked done, so that everything visible is counted.
CREATE TABLE IF NOT EXISTS upload_counts
(
    upload_id     UUID,
    topic         LowCardinality(String),
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    new           UInt64 COMMENT 'Rows whose round was not stored before',
    duplicate     UInt64 COMMENT 'Rows whose round was already stored with the same values',
    conflict      UInt64 COMMENT 'Rows whose round was already stored with other values; see conflicts'
)
ENGINE = ReplacingMergeTree
ORDER BY (upload_id, topic, epoch, partition, first_offset)
COMMENT 'New, duplicate and conflicting rows of each upload'
