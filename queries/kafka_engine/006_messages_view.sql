-- Begins the consumption.
CREATE MATERIALIZED VIEW kafka_rounds_messages_view TO kafka_rounds_messages AS
SELECT
    * REPLACE (toUUID(UUIDNumToString(kafka_rounds.upload_id)) AS upload_id),
    _error AS error,
    _raw_message AS raw_message,
    _topic AS kafka_topic,
    toUInt16(_partition) AS kafka_partition,
    toUInt64(_offset) AS kafka_offset
FROM kafka_rounds
