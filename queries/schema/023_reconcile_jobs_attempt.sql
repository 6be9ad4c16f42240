-- Tables made by earlier releases lack the attempt, the digest, the uploads and the state of a job that was cancelled.
ALTER TABLE reconcile_jobs
    MODIFY COLUMN state Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4, 'cancelled' = 5),
    ADD COLUMN IF NOT EXISTS attempt String COMMENT 'Whose rows of reconcile_differences count; empty: none' AFTER state,
    ADD COLUMN IF NOT EXISTS sha256 String COMMENT 'Of the file, in hexadecimal' AFTER bytes,
    ADD COLUMN IF NOT EXISTS upload_ids Array(String) COMMENT 'The uploads that its sender named' AFTER sha256
