-- The topics that were loaded. A recreated topic begins at offset 0 again and counts as another topic: it gets the next epoch, which is part
-- of every deduplication token.
CREATE TABLE IF NOT EXISTS loader_topics
(
    topic       String,
    epoch       UInt32,
    partitions  UInt16,
    loader      Enum8('roundhouse' = 1, 'clickhouse' = 2) COMMENT 'What loads the topic; another loader begins a new epoch',
    continues   Bool DEFAULT false COMMENT 'Whether this is the same topic as in the previous epoch, with another loader',
    started_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, epoch)
COMMENT 'Topics loaded, by name and epoch'
