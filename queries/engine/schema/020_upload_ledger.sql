-- Uploads. Each change of state is a row, and so is roughly each second of progress; the one with the highest version is valid.
--
-- Whether an upload is visible is not stored but determined from its offsets (queries/engine/uploads/loaded_offsets.sql).
CREATE TABLE IF NOT EXISTS upload_ledger
(
    upload_id            String COMMENT 'A UUID of version 7, so ordered by arrival',
    dataset              LowCardinality(String) COMMENT 'The dataset of its rows',
    version              UInt64,
    owner                String COMMENT 'The server that receives it, identified by the UUID in its data directory',
    replay_of            String COMMENT 'The upload whose rejected rows this one sends again; empty if none',
    state                Enum8('receiving' = 1, 'acknowledged' = 2, 'failed' = 3),
    failure_code         LowCardinality(String) COMMENT 'Error code of a failed upload, as in the API',
    reason               String COMMENT 'Why it failed, as text',
    file_name            String,
    sha256               String COMMENT 'SHA-256 of the file, in hexadecimal; empty until all of it has arrived',
    head_sha256          String COMMENT 'SHA-256 of its first 65,536 bytes; known before the rest has arrived',
    bytes                UInt64,
    encoding             LowCardinality(String),
    delimiter            LowCardinality(String),
    header               String COMMENT 'The first line, used to split rejected lines into columns',
    later_headers        String COMMENT 'Later headers as JSON: which lines repeat the first one and which change it; empty if none',
    decimal              LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty if the sender did not give it',
    timezone             LowCardinality(String) COMMENT 'Zone of times without one, as in the IANA database or an offset; empty: the sender did not name one, UTC',
    columns              String COMMENT 'Columns that the file calls by other names, as the parameter columns; empty: none',
    format               LowCardinality(String) COMMENT 'How the rows are written: csv or json; empty if the file ended before that was known',
    has_delimited_rows   Bool COMMENT 'Rows end in a delimiter that the header does not have',
    rows                 UInt64,
    accepted             UInt64,
    rejected             UInt64,
    acknowledged         UInt64 COMMENT 'Accepted rows that the broker has acknowledged',
    rejects_by_code      Map(LowCardinality(String), UInt64),
    schema_id            UInt32,
    topic                LowCardinality(String),
    offsets              String COMMENT 'First and last offset by partition of the topic, as JSON',
    dead_letter_offsets  String COMMENT 'The same for the dead-letter topic',
    started_at           DateTime64(3, 'UTC'),
    updated_at           DateTime64(3, 'UTC'),
    seconds              Float64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY upload_id
COMMENT 'Uploads and their progress'
