-- The tables of a job, which exist while it runs.
SELECT name
FROM system.tables
WHERE database = currentDatabase() AND name LIKE 'reconcile\\_%'
    AND extract(name, '^reconcile_[a-z]+_([0-9a-f]{32})(_[0-9]+)*$') = {job_name:String}
