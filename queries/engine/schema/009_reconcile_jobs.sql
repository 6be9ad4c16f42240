-- Reconciliation jobs. Each change of state is a row; the one with the highest version is valid.
CREATE TABLE IF NOT EXISTS reconcile_jobs
(
    id            String COMMENT 'A UUID of version 7, so ordered by submission',
    dataset       LowCardinality(String) DEFAULT 'bets' COMMENT 'The dataset of its rows',
    version       UInt64,
    owner         String COMMENT 'The spool directory with the file, identified by the UUID in it',
    state         Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4, 'cancelled' = 5),
    attempt       String COMMENT 'The attempt whose rows in the table of differences are valid; empty if none',
    file_name     String,
    encoding      String COMMENT 'As the sender gave it; empty if it was detected',
    decimal       LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty if the sender did not give it',
    timezone      LowCardinality(String) COMMENT 'Zone of times without one, as in the IANA database or an offset; empty: the sender did not name one, UTC',
    columns       String COMMENT 'Columns that the file calls by other names, as the parameter columns; empty: none',
    bytes         UInt64,
    sha256        String COMMENT 'SHA-256 of the file, in hexadecimal',
    upload_ids    Array(String) COMMENT 'The uploads that the sender named',
    reason        String COMMENT 'Why the job failed',
    report        String COMMENT 'The result, as JSON',
    written_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
COMMENT 'Reconciliations of files with the stored rows'
