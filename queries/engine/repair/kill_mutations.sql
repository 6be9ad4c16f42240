-- Kills mutations that need a table of a repair. Without its table, a mutation never ends and blocks later ones.
KILL MUTATION
WHERE database = currentDatabase() AND NOT is_done
    AND (position(command, {values:String}) > 0 OR position(command, {removals:String}) > 0)
SYNC
