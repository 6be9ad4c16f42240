-- The number of unfinished deletions by loaders.
SELECT count() FROM system.mutations
WHERE database = currentDatabase() AND NOT is_done AND position(command, 'loader_leases') > 0
