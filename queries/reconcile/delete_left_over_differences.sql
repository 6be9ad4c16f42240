-- Removes the rows of other attempts of a job, and waits until they are gone.
DELETE FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
SETTINGS lightweight_deletes_sync = 2
