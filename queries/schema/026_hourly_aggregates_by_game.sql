-- The same rows ordered by game.
ALTER TABLE hourly_aggregates ADD PROJECTION IF NOT EXISTS by_game (SELECT * ORDER BY game_id, created_hour, user_id)
