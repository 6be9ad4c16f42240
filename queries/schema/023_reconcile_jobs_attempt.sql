-- Adds the attempt, the digest, the uploads and the state `cancelled` to tables of earlier releases.
ALTER TABLE reconcile_jobs
    MODIFY COLUMN state Enum8('queued' = 1, 'running' = 2, 'done' = 3, 'failed' = 4, 'cancelled' = 5),
    ADD COLUMN IF NOT EXISTS attempt String COMMENT 'The attempt whose rows in reconcile_differences are valid; empty if none' AFTER state,
    ADD COLUMN IF NOT EXISTS sha256 String COMMENT 'SHA-256 of the file, in hexadecimal' AFTER bytes,
    ADD COLUMN IF NOT EXISTS upload_ids Array(String) COMMENT 'The uploads that the sender named' AFTER sha256
