-- Stops the queries of a job.
KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC
