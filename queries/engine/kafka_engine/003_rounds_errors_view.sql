-- Messages that cannot be decoded go into the same table as with Roundhouse's loader.
CREATE MATERIALIZED VIEW kafka_rounds_errors_view TO rejects AS
SELECT
    '' AS upload_id,
    toUInt64(0) AS line,
    toUInt64(0) AS byte_offset,
    '' AS column,
    'undecodable_message' AS code,
    error AS reason,
    raw_message AS raw,
    kafka_topic,
    {epoch:UInt32} AS kafka_epoch,
    kafka_partition,
    kafka_offset
FROM kafka_rounds_messages
WHERE notEmpty(error)
