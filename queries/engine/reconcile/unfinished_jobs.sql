-- The jobs of one spool directory that have not ended, in the order of their submission.
SELECT id, dataset, version, toString(state) AS state, attempt, file_name, encoding, toString(decimal) AS decimal, toString(timezone) AS timezone, columns, bytes, sha256, upload_ids, reason, report
FROM reconcile_jobs FINAL
WHERE owner = {owner:String} AND state IN ('queued', 'running')
ORDER BY id
