-- Jobs of one spool directory whose tables are still there, or differences of attempts that do not count: with the one that does.
SELECT id, attempt
FROM reconcile_jobs FINAL
WHERE owner = {owner:String} AND
(
    replaceAll(id, '-', '') IN
    (
        SELECT extract(name, '^reconcile_(?:rows|outcomes|hours)_([0-9a-f]{32})$')
        FROM system.tables
        WHERE database = currentDatabase() AND name LIKE 'reconcile\\_%'
    )
    OR id IN
    (
        SELECT toString(job_id) FROM reconcile_differences
        WHERE (toString(job_id), toString(attempt)) NOT IN (SELECT id, attempt FROM reconcile_jobs FINAL)
    )
)
