-- The games with the most rounds
SELECT
    game_id,
    max(game_name) AS game,
    max(provider) AS made_by,
    sum(rounds_played) AS rounds,
    uniqExact(user_id) AS players,
    sum(real_amount_bet) - sum(real_amount_win) AS real_net
FROM hourly_aggregates
GROUP BY game_id
ORDER BY rounds DESC, game_id
