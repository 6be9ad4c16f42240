-- Stores the duplicate and contradictory rows again for another attempt. A repair changes neither. The subquery comes first: otherwise
-- `attempt` in it would be the next one.
INSERT INTO /* differences */
SELECT * REPLACE ({next_attempt:UUID} AS attempt, now() AS found_at)
FROM
(
    SELECT *
    FROM /* differences */
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind IN ('duplicate_in_file', 'contradictory_in_file')
)
