-- The number of running statements whose `log_comment` begins with {kind} and is not {own}.
SELECT count() FROM system.processes
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
