-- Which topics the loader has loaded. A topic that was deleted and made anew begins at offset 0 again and is another one:
-- it gets the next epoch, which is part of every deduplication token.
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
