-- A page of the jobs of a dataset, newest first.
SELECT id, dataset, version, toString(state) AS state, attempt, file_name, encoding, toString(decimal) AS decimal, toString(timezone) AS timezone, columns, bytes, sha256, upload_ids, reason, report
FROM reconcile_jobs FINAL
WHERE dataset = {dataset:String} AND ({before:String} = '' OR id < {before:String})
ORDER BY id DESC
LIMIT {limit:UInt64}
SETTINGS max_execution_time = 60
