-- Starts the consumption. The values of the columns, and the rules that they must meet, replace the placeholders. ClickHouse reads a
-- message as consecutive rows: a message with more than one row has extra bytes after its last field.
CREATE MATERIALIZED VIEW kafka_rounds_messages_view TO kafka_rounds_messages AS
SELECT
    /* values */,
    empty(_error) AND rows_of_message = 1
        AND /* rules */ AS is_valid,
    _error AS error,
    _raw_message AS raw_message,
    _topic AS kafka_topic,
    toUInt16(_partition) AS kafka_partition,
    toUInt64(_offset) AS kafka_offset
FROM
(
    SELECT
        *, _error, _raw_message, _topic, _partition, _offset,
        count() OVER (PARTITION BY _partition, _offset) AS rows_of_message
    FROM kafka_rounds
) AS found
