-- Repairs of what reconciliations found: each change of state is a row, the one with the highest version counts. Of a job that is
-- repaired again, the last repair is here.
CREATE TABLE IF NOT EXISTS reconcile_repairs
(
    job_id         String COMMENT 'As in reconcile_jobs',
    version        UInt64,
    owner          String COMMENT 'The server that works on it, by the UUID in its spool directory',
    attempt        String COMMENT 'The attempt of the job that the counts are of: once it is the job''s, the repair is done',
    state          Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4),
    prefer         LowCardinality(String) COMMENT 'Whose values a round that differs gets: stored or file',
    removes        Bool COMMENT 'Whether rounds of the upload that are not in the file are removed',
    produced       UInt64 COMMENT 'Rounds that were missing and are stored',
    overwritten    UInt64 COMMENT 'Rounds that got the values of the file',
    removed        UInt64 COMMENT 'Rounds of the upload that are not in the file, and copies of rounds, that were deleted',
    hours_rebuilt  UInt64,
    upload_ids     Array(String) COMMENT 'The uploads with which the missing rounds came',
    reason         String COMMENT 'Why it failed',
    seconds        Float64,
    written_at     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY job_id
COMMENT 'Repairs of what reconciliations found'
