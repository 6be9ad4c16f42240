-- The number of rounds of each upload. All of them count as new.
CREATE MATERIALIZED VIEW kafka_rounds_counts_view TO upload_counts AS
SELECT
    assumeNotNull(kafka_rounds_messages.upload_id) AS upload_id,
    kafka_topic AS topic,
    {epoch:UInt32} AS epoch,
    kafka_partition AS partition,
    min(kafka_offset) AS first_offset,
    max(kafka_offset) AS last_offset,
    count() AS new,
    toUInt64(0) AS duplicate,
    toUInt64(0) AS conflict
FROM kafka_rounds_messages
WHERE is_valid AND kafka_rounds_messages.upload_id IS NOT NULL
GROUP BY upload_id, topic, epoch, partition
