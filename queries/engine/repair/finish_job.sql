-- Stores the result of the second check: the job's report, and the attempt whose rows of reconcile_differences count from now on.
INSERT INTO reconcile_jobs
SELECT * REPLACE (version + 1 AS version, {next_attempt:String} AS attempt, {report:String} AS report, now64(3) AS written_at)
FROM reconcile_jobs
WHERE id = {id:String} AND state = 'done'
ORDER BY version DESC
LIMIT 1
