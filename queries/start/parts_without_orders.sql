-- The number of parts without the projections by player and by game, because they were written before the projections existed.
SELECT count()
FROM system.parts
WHERE database = currentDatabase() AND table = 'hourly_aggregates' AND active
    AND NOT hasAll(projections, ['by_player', 'by_game'])
