-- Keeps, for another attempt, the rows that repeat or contradict other rows of the file: a repair changes neither.
INSERT INTO reconcile_differences
SELECT * REPLACE ({next_attempt:UUID} AS attempt, now() AS found_at)
FROM
(
    -- Apart, or the attempt here would be the next one.
    SELECT *
    FROM reconcile_differences
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind IN ('duplicate_in_file', 'contradictory_in_file')
)
