-- Removes the rows of other attempts of a job, which count for nothing: ClickHouse does it when it gets to it.
DELETE FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
SETTINGS lightweight_deletes_sync = 0
