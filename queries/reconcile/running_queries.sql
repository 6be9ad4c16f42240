-- Counts the running queries of a job.
SELECT count() FROM system.processes WHERE Settings['log_comment'] = {tag:String}
