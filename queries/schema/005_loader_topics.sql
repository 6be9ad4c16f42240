-- The topics that were loaded. A recreated topic begins at offset 0 again and counts as another topic: it gets the next epoch, which is part
-- of every deduplication token.
CREATE TABLE IF NOT EXISTS loader_topics
(
    topic       String,
    epoch       UInt32,
    partitions  UInt16,
    started_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, epoch)
COMMENT 'Topics loaded, by name and epoch'
