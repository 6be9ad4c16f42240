-- The same rows in the order of games.
ALTER TABLE hourly_aggregates ADD PROJECTION IF NOT EXISTS by_game (SELECT * ORDER BY game_id, created_hour, user_id)
