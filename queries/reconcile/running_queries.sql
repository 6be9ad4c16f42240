-- How many queries of a job run.
SELECT count() FROM system.processes WHERE Settings['log_comment'] = {tag:String}
