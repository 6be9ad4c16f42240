-- A page of jobs, newest first.
SELECT id, version, toString(state) AS state, attempt, file_name, encoding, toString(decimal) AS decimal, toString(timezone) AS timezone, columns, bytes, sha256, upload_ids, reason, report
FROM reconcile_jobs FINAL
WHERE {before:String} = '' OR id < {before:String}
ORDER BY id DESC
LIMIT {limit:UInt64}
SETTINGS max_execution_time = 60
