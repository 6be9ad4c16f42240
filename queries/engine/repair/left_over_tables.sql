-- The jobs of a dataset whose repairs by one server have left tables.
SELECT DISTINCT job_id
FROM reconcile_repairs
WHERE owner = {owner:String} AND job_id IN (SELECT id FROM reconcile_jobs WHERE owner = {owner:String} AND dataset = {dataset:String})
    AND replaceAll(job_id, '-', '') IN
    (
        SELECT extract(name, '^repair_(?:values|removals)_([0-9a-f]{32})$')
        FROM system.tables
        WHERE database = currentDatabase() AND name LIKE 'repair\\_%'
    )
