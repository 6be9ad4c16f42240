-- Jobs of one spool directory whose tables of rows or hours are still there.
SELECT DISTINCT id
FROM reconcile_jobs
WHERE owner = {owner:String} AND replaceAll(id, '-', '') IN
(
    SELECT extract(name, '^reconcile_(?:rows|hours)_([0-9a-f]{32})$')
    FROM system.tables
    WHERE database = currentDatabase() AND name LIKE 'reconcile\\_%'
)
