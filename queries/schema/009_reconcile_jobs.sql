-- Reconciliation jobs. Each change of state is a row; the one with the highest version is valid.
CREATE TABLE IF NOT EXISTS reconcile_jobs
(
    id            String COMMENT 'A UUID of version 7, so ordered by submission',
    version       UInt64,
    owner         String COMMENT 'The spool directory with the file, identified by the UUID in it',
    state         Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4),
    file_name     String,
    encoding      String COMMENT 'As the sender gave it; empty if it was detected',
    bytes         UInt64,
    reason        String COMMENT 'Why the job failed',
    report        String COMMENT 'The result, as JSON',
    written_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
COMMENT 'Reconciliations of files with the stored rounds'
