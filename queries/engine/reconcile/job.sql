-- The latest version of a job of a dataset.
SELECT id, dataset, version, toString(state) AS state, attempt, file_name, encoding, toString(decimal) AS decimal, toString(timezone) AS timezone, columns, bytes, sha256, upload_ids, reason, report
FROM reconcile_jobs
WHERE id = {id:String} AND dataset = {dataset:String}
ORDER BY version DESC
LIMIT 1
