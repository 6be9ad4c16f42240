-- Who may load a topic: the holder of the topic's highest generation. Generations are unique over all topics. A server claims the next
-- number with a deduplication token that names it, so that ClickHouse stores only one of several claims.
CREATE TABLE IF NOT EXISTS loader_leases
(
    generation  UInt32,
    topic       String,
    owner       String COMMENT 'The server, identified by the UUID in its data directory',
    process     String COMMENT 'The run of the server',
    claimed_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, generation)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Leases of topics: only the holder of the highest generation may load a topic'
