-- Removes the rows of aggregate tables that a repair has noted.
DELETE FROM reconcile_repair_keys WHERE job_id = {job:UUID}
