-- How much is stored: rounds, players, games, and the time range
SELECT
    count() AS rounds,
    uniqExact(user_id) AS players,
    uniqExact(game_id) AS games,
    min(created_timestamp) AS first_round,
    max(created_timestamp) AS last_round
FROM game_rounds
