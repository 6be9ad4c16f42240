-- What the hourly aggregates would hold of these rounds.
SELECT
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    count() AS rounds_played,
    sum(ifNull(real_amount_bet, 0)) AS real_amount_bet,
    sum(ifNull(bonus_amount_bet, 0)) AS bonus_amount_bet,
    sum(ifNull(real_amount_win, 0)) AS real_amount_win,
    sum(ifNull(bonus_amount_win, 0)) AS bonus_amount_win
FROM game_rounds
GROUP BY created_hour, user_id, game_id
