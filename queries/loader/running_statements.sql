-- How many statements of a kind still run that earlier holders of a lease have sent.
SELECT count() FROM system.processes
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
