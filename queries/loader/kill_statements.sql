-- Stops the running statements of one kind that were sent by earlier holders of a lease.
KILL QUERY
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
ASYNC
