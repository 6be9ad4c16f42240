-- Uploads: each change of state is a row, and so is about every second of progress; the one with the highest version counts.
--
-- Whether an upload is visible is not kept here: it is told from its offsets (queries/uploads/loaded_offsets.sql). A table
-- `uploads` of an earlier version may be there; nothing reads it any more.
CREATE TABLE IF NOT EXISTS upload_ledger
(
    upload_id            String COMMENT 'A UUID of version 7: in order of arrival',
    version              UInt64,
    owner                String COMMENT 'The server that takes it, by the UUID in its data directory',
    replay_of            String COMMENT 'The upload whose rejects these rows were; empty: none',
    state                Enum8('receiving' = 1, 'acknowledged' = 2, 'failed' = 3),
    failure_code         LowCardinality(String) COMMENT 'Why it failed, as the API says it',
    reason               String COMMENT 'Why it failed, in words',
    file_name            String,
    sha256               String COMMENT 'Of the whole file, in hexadecimal; empty until it is whole',
    head_sha256          String COMMENT 'Of its first 65,536 bytes: known while the rest is still arriving',
    bytes                UInt64,
    encoding             LowCardinality(String),
    delimiter            LowCardinality(String),
    header               String COMMENT 'The first line, by which rejected lines come apart into columns',
    rows                 UInt64,
    accepted             UInt64,
    rejected             UInt64,
    acknowledged         UInt64 COMMENT 'Of the accepted ones, those that the broker has',
    rejects_by_code      Map(LowCardinality(String), UInt64),
    schema_id            UInt32,
    topic                LowCardinality(String),
    offsets              String COMMENT 'First and last offset by partition of the topic, as JSON',
    dead_letter_offsets  String COMMENT 'The same of the dead-letter topic',
    started_at           DateTime64(3, 'UTC'),
    updated_at           DateTime64(3, 'UTC'),
    seconds              Float64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY upload_id
COMMENT 'Uploads: how far each has come'
