-- The jobs whose repairs by one server have left tables.
SELECT DISTINCT job_id
FROM reconcile_repairs
WHERE owner = {owner:String} AND replaceAll(job_id, '-', '') IN
(
    SELECT extract(name, '^repair_(?:values|removals|names)_([0-9a-f]{32})$')
    FROM system.tables
    WHERE database = currentDatabase() AND name LIKE 'repair\\_%'
)
