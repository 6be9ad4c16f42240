-- The jobs of one dataset and spool directory that have left tables, or differences of attempts that do not count, each with the attempt that
-- counts.
SELECT id, attempt
FROM reconcile_jobs FINAL
WHERE owner = {owner:String} AND dataset = {dataset:String} AND
(
    replaceAll(id, '-', '') IN
    (
        SELECT extract(name, '^reconcile_[a-z]+_([0-9a-f]{32})(_[0-9]+)*$')
        FROM system.tables
        WHERE database = currentDatabase() AND name LIKE 'reconcile\\_%'
    )
    OR id IN
    (
        SELECT toString(job_id) FROM /* differences */
        WHERE (toString(job_id), toString(attempt)) NOT IN (SELECT id, attempt FROM reconcile_jobs FINAL)
    )
)
