-- The loader's ledger: a chunk of offsets is noted before it is inserted, and done after. What is noted and not done is
-- inserted again, with the same token, when the loader starts.
CREATE TABLE IF NOT EXISTS loader_chunks
(
    topic         String,
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    state         Enum8('noted' = 1, 'done' = 2),
    messages      UInt64,
    new           UInt64 COMMENT 'Inserted',
    duplicate     UInt64 COMMENT 'Of a round that was there already',
    undecodable   UInt64 COMMENT 'Not Avro of a known schema: in rejects',
    fingerprint   UInt64 COMMENT 'Of the last message, by which a topic made anew is recognized',
    written_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, epoch, partition, first_offset, state)
COMMENT 'Chunks of offsets: noted before they are inserted, done after'
