-- Rows of a dataset that came again with other values. The stored rows are kept. Has the columns of the schema as they were sent, the place
-- in the upload, and the position in Kafka. A chunk that is loaded again writes the same rows; FINAL returns each once.
CREATE TABLE IF NOT EXISTS /* conflicts */
(
    /* each field: `$name` $type, */
    /* each other: `$name` $type, */
    upload_id         UUID COMMENT 'The upload that produced it; all zeros if it was not an upload',
    line              Nullable(UInt64) COMMENT 'Line in the uploaded file',
    kafka_topic       LowCardinality(String),
    kafka_epoch       UInt32 COMMENT 'Epoch of the topic, see loader_topics',
    kafka_partition   UInt16,
    kafka_offset      UInt64,
    loaded_at         DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (upload_id, kafka_topic, kafka_epoch, kafka_partition, kafka_offset)
COMMENT 'Rows that came again with other values'
