-- What became of an upload's accepted rows, chunk by chunk. A chunk that is loaded again brings the same rows: FINAL has each
-- once. Written before the chunk is noted done, so that whatever is visible is counted.
CREATE TABLE IF NOT EXISTS upload_counts
(
    upload_id     UUID,
    topic         LowCardinality(String),
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    new           UInt64 COMMENT 'Rounds that were not stored yet',
    duplicate     UInt64 COMMENT 'Of a round that was there already with the same values',
    conflict      UInt64 COMMENT 'Of a round that was there already with other values: in conflicts'
)
ENGINE = ReplacingMergeTree
ORDER BY (upload_id, topic, epoch, partition, first_offset)
COMMENT 'What became of the rows of each upload'
