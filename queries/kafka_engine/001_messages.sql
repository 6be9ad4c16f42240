-- What ClickHouse has consumed of the topic of rounds, block by block, for the views on it; keeps nothing. It stands between so
-- that consumption begins with the last view, once all others are there. The mark is replaced by the columns of the schema.
CREATE TABLE kafka_rounds_messages
(
    /* stored columns */,
    is_valid          Bool COMMENT 'It is a round',
    error             String COMMENT 'Why ClickHouse cannot decode it; empty: it can',
    raw_message       String COMMENT 'Where it cannot be decoded',
    kafka_topic       String,
    kafka_partition   UInt16,
    kafka_offset      UInt64
)
ENGINE = Null
COMMENT 'Messages on their way: not to be read'
