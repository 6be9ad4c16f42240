-- Messages that could not be decoded, where Roundhouse's loader puts them.
CREATE MATERIALIZED VIEW kafka_rounds_errors_view TO rejects AS
SELECT
    '' AS upload_id,
    toUInt64(0) AS line,
    toUInt64(0) AS byte_offset,
    '' AS column,
    'undecodable_message' AS code,
    _error AS reason,
    _raw_message AS raw,
    _topic AS kafka_topic,
    {epoch:UInt32} AS kafka_epoch,
    toUInt16(_partition) AS kafka_partition,
    toUInt64(_offset) AS kafka_offset
FROM kafka_rounds
WHERE length(_error) > 0
