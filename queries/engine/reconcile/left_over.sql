-- The jobs of one spool directory that have left tables, or differences of attempts that do not count, each with the attempt that counts.
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
