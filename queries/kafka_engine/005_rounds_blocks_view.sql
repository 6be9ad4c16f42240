-- What of a block has found a table. A message that is decoded and is no round has found none: ClickHouse does not keep the bytes
-- of what it can decode, so the server takes them from the topic.
CREATE MATERIALIZED VIEW kafka_rounds_blocks_view TO consumed_blocks AS
SELECT
    {epoch:UInt32} AS epoch,
    kafka_partition AS partition,
    min(kafka_offset) AS first_offset,
    max(kafka_offset) AS last_offset,
    uniqExact(kafka_offset) AS messages,
    uniqExactIf(kafka_offset, notEmpty(error)) AS rejects
FROM kafka_rounds_messages
WHERE is_valid OR notEmpty(error)
GROUP BY epoch, partition
