-- The offsets of each block that have been stored in a table. A message that is decoded but is not a valid round is not among them:
-- ClickHouse does not keep its bytes, so the server reads it from the topic again.
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
