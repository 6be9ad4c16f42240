-- The latest version of a repair.
SELECT job_id, version, attempt, toString(state) AS state, prefer, removes, produced, overwritten, removed, hours_rebuilt, upload_ids, reason, seconds
FROM reconcile_repairs
WHERE job_id = {job:String}
ORDER BY version DESC
LIMIT 1
