-- Keeps, for another attempt, the lines that repeat a round: nothing changes them.
INSERT INTO reconcile_differences
SELECT * REPLACE ({next_attempt:UUID} AS attempt, now() AS found_at)
FROM
(
    -- Apart, or the attempt here would be the next one.
    SELECT *
    FROM reconcile_differences
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'duplicate_in_file'
)
