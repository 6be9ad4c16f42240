-- Repairs of differences that reconciliations found. Each change of state is a row; the one with the highest version is valid. If a job is
-- repaired again, only the last repair is kept.
CREATE TABLE IF NOT EXISTS reconcile_repairs
(
    job_id         String COMMENT 'As in reconcile_jobs',
    version        UInt64,
    owner          String COMMENT 'The server that runs it, identified by the UUID in its spool directory',
    attempt        String COMMENT 'The attempt that the counts belong to; the repair is done once it is the attempt of the job',
    state          Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4),
    prefer         LowCardinality(String) COMMENT 'Which values win when a stored round differs from the file: stored or file',
    removes        Bool COMMENT 'Whether rounds of the upload that are not in the file are deleted',
    produced       UInt64 COMMENT 'Missing rounds that were stored',
    overwritten    UInt64 COMMENT 'Rounds that were overwritten with the values of the file',
    removed        UInt64 COMMENT 'Deleted rounds: those of the upload that are not in the file, and copies of rounds',
    hours_rebuilt  UInt64,
    upload_ids     Array(String) COMMENT 'The uploads that produced the missing rounds',
    reason         String COMMENT 'Why it failed',
    seconds        Float64,
    written_at     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY job_id
COMMENT 'Repairs of differences that reconciliations found'
