-- The rounds of each upload, all of them taken for new.
CREATE MATERIALIZED VIEW kafka_rounds_counts_view TO upload_counts AS
SELECT
    assumeNotNull(upload_id) AS upload_id,
    _topic AS topic,
    {epoch:UInt32} AS epoch,
    toUInt16(_partition) AS partition,
    toUInt64(min(_offset)) AS first_offset,
    toUInt64(max(_offset)) AS last_offset,
    count() AS new,
    toUInt64(0) AS duplicate,
    toUInt64(0) AS conflict
FROM kafka_rounds
WHERE length(_error) = 0 AND kafka_rounds.upload_id IS NOT NULL
GROUP BY upload_id, topic, epoch, partition
