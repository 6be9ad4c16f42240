-- The number of running statements of one kind that were sent by earlier holders of a lease.
SELECT count() FROM system.processes
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
