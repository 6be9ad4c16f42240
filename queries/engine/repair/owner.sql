-- The spool directory of the server that a job belongs to.
SELECT owner FROM reconcile_jobs WHERE id = {id:String} ORDER BY version DESC LIMIT 1
