-- Removes the differences of other attempts of a job, which do not count. ClickHouse does it in the background.
DELETE FROM /* differences */
WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
SETTINGS lightweight_deletes_sync = 0
