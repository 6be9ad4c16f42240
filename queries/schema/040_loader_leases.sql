-- Who may load a topic: the generation with the highest number of the topic. Numbers are unique over all topics. A server takes the
-- next number with a deduplication token that names it, so that ClickHouse stores one of several that are sent.
CREATE TABLE IF NOT EXISTS loader_leases
(
    generation  UInt32,
    topic       String,
    owner       String COMMENT 'The server, by the UUID in its data directory',
    process     String COMMENT 'One run of the server',
    claimed_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, generation)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Leases of topics: the highest generation of a topic may load it'
