-- How many parts lack the rows in the order of players or games: those that are older than the projections.
SELECT count()
FROM system.parts
WHERE database = currentDatabase() AND table = 'hourly_aggregates' AND active
    AND NOT hasAll(projections, ['by_player', 'by_game'])
