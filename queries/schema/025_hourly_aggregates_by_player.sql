-- The same rows ordered by player, in the same parts: an inserted row is in both orders or in none.
ALTER TABLE hourly_aggregates ADD PROJECTION IF NOT EXISTS by_player (SELECT * ORDER BY user_id, created_hour, game_id)
