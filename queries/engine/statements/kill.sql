-- Stops the running statements whose `log_comment` begins with {kind} and is not {own}.
KILL QUERY
WHERE startsWith(Settings['log_comment'], {kind:String}) AND Settings['log_comment'] != {own:String}
ASYNC
