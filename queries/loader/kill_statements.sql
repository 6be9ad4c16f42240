-- Stops them.
KILL QUERY
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
ASYNC
