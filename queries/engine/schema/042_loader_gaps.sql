-- Skipped offsets: their messages were not loaded and never will be. Each gap is also in `rejects`, without its rows.
CREATE TABLE IF NOT EXISTS loader_gaps
(
    topic         String,
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    code          LowCardinality(String) COMMENT 'As in rejects: deleted_before_load, topic_recreated or unreadable_message',
    reason        String,
    found_at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, epoch, partition, first_offset)
COMMENT 'Offsets that were not loaded and never will be'
