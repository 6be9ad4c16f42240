-- The same rows in the order of players, within the same parts: what is inserted is in both orders or in none.
ALTER TABLE hourly_aggregates ADD PROJECTION IF NOT EXISTS by_player (SELECT * ORDER BY user_id, created_hour, game_id)
