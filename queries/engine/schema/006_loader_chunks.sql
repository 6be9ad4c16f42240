-- The loader's ledger: a chunk of offsets is noted before it is inserted, and marked done afterwards. When the loader starts, it inserts
-- chunks again that are noted but not done, with the same token.
CREATE TABLE IF NOT EXISTS loader_chunks
(
    topic         String,
    epoch         UInt32,
    partition     UInt16,
    first_offset  UInt64,
    last_offset   UInt64,
    state         Enum8('noted' = 1, 'done' = 2),
    messages      UInt64,
    new           UInt64 COMMENT 'Inserted rounds or rejects',
    duplicate     UInt64 COMMENT 'Messages of rounds that were already stored',
    conflict      UInt64 COMMENT 'Messages of rounds that were already stored with other values; see conflicts',
    undecodable   UInt64 COMMENT 'Messages that are not Avro with a known schema; stored in rejects',
    fingerprint   UInt64 COMMENT 'Hash of the last message, which identifies a recreated topic',
    written_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, epoch, partition, first_offset, state)
COMMENT 'Chunks of offsets: noted before they are inserted, done afterwards'
