-- Reconciliations: each change of state is a row, the one with the highest version counts.
CREATE TABLE IF NOT EXISTS reconcile_jobs
(
    id            String COMMENT 'A UUID of version 7: in order of submission',
    version       UInt64,
    owner         String COMMENT 'The spool directory that has the file, by the UUID in it',
    state         Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4),
    file_name     String,
    encoding      String COMMENT 'As its sender named it; empty: found from the bytes',
    bytes         UInt64,
    reason        String COMMENT 'Why it failed',
    report        String COMMENT 'What it found, as JSON',
    written_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
COMMENT 'Reconciliations of files with what is stored'
