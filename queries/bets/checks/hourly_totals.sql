-- The totals of each hour, for all players and games together
SELECT
    created_hour,
    sum(rounds_played) AS rounds,
    uniqExact(user_id) AS players,
    sum(real_amount_bet) AS real_bet,
    sum(bonus_amount_bet) AS bonus_bet,
    sum(real_amount_win) AS real_win,
    sum(bonus_amount_win) AS bonus_win,
    real_bet + bonus_bet - real_win - bonus_win AS net
FROM hourly_aggregates
GROUP BY created_hour
ORDER BY created_hour
