-- Removes the hours that a repair has noted.
DELETE FROM reconcile_repair_hours WHERE job_id = {job:UUID}
