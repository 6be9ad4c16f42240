-- Builds the projection by game for the parts that lack it.
ALTER TABLE hourly_aggregates MATERIALIZE PROJECTION by_game SETTINGS mutations_sync = 1
