-- A job as it stands.
SELECT id, version, toString(state) AS state, file_name, encoding, bytes, reason, report
FROM reconcile_jobs
WHERE id = {id:String}
ORDER BY version DESC
LIMIT 1
