-- Counts the differences of a job in a range of kinds.
SELECT count() AS differences
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind BETWEEN {first_kind:Int8} AND {last_kind:Int8}
SETTINGS max_execution_time = 600
