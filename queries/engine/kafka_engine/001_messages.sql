-- What ClickHouse has consumed of the topic of rounds, block by block, as input for the views on it. Stores nothing. It exists so that
-- consumption begins with the last view, after all others exist. The columns of the schema replace the placeholder.
CREATE TABLE kafka_rounds_messages
(
    /* stored columns */,
    is_valid          Bool COMMENT 'Whether the message is a valid round',
    error             String COMMENT 'Why ClickHouse cannot decode the message; empty if it can',
    raw_message       String COMMENT 'The message, if it cannot be decoded',
    kafka_topic       String,
    kafka_partition   UInt16,
    kafka_offset      UInt64
)
ENGINE = Null
COMMENT 'Messages in transit; do not read from this table'
