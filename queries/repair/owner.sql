-- The spool directory of the server that worked on a job.
SELECT owner FROM reconcile_jobs WHERE id = {id:String} ORDER BY version DESC LIMIT 1
