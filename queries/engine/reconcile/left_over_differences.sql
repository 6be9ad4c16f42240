-- Counts the differences that other attempts of a job have left.
SELECT count() AS differences
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
