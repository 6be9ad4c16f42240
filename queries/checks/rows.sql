-- How much is there: rounds, players, games, and the time they span.
SELECT
    count() AS rounds,
    uniqExact(user_id) AS players,
    uniqExact(game_id) AS games,
    min(created_timestamp) AS first_round,
    max(created_timestamp) AS last_round
FROM game_rounds
