-- Builds the projection by player for the parts that lack it.
ALTER TABLE hourly_aggregates MATERIALIZE PROJECTION by_player SETTINGS mutations_sync = 1
