-- Files whose rows were all acknowledged by the broker. The digests say whether a file was here before.
CREATE TABLE IF NOT EXISTS uploads
(
    upload_id        String,
    file_name        String,
    sha256           String COMMENT 'Of the whole file, in hexadecimal',
    head_sha256      String COMMENT 'Of its first 65,536 bytes: known while the rest is still arriving',
    bytes            UInt64,
    encoding         LowCardinality(String),
    rows             UInt64,
    accepted         UInt64,
    rejected         UInt64,
    offsets          String COMMENT 'First and last offset by partition, as JSON',
    acknowledged_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (head_sha256, acknowledged_at)
COMMENT 'Files whose rows were all acknowledged'
