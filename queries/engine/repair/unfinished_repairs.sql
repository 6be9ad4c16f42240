-- The repairs of a dataset by one server that have not ended, in the order of their requests.
SELECT job_id, version, attempt, toString(state) AS state, prefer, removes, produced, overwritten, removed, hours_rebuilt, upload_ids, reason, seconds
FROM reconcile_repairs FINAL
WHERE owner = {owner:String} AND state IN ('queued', 'running')
    AND job_id IN (SELECT id FROM reconcile_jobs WHERE owner = {owner:String} AND dataset = {dataset:String})
ORDER BY written_at, job_id
