-- Counts the unfinished mutations that need a table of a repair.
SELECT count()
FROM system.mutations
WHERE database = currentDatabase() AND NOT is_done
    AND (position(command, {values:String}) > 0 OR position(command, {removals:String}) > 0)
