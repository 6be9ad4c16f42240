-- Removes the differences of attempts that do not count any more, or never did.
DELETE FROM reconcile_differences WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
