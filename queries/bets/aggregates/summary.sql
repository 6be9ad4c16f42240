-- Totals of the hourly aggregates: first overall (is_total), then per hour. Fixed text replaces the placeholders: the table or projection
-- to read, and the filters that apply.
SELECT
    is_total,
    toUInt32(hour) AS created_hour,
    rounds AS rounds_played,
    players,
    games,
    toString(real_bet) AS real_amount_bet,
    toString(bonus_bet) AS bonus_amount_bet,
    toString(real_win) AS real_amount_win,
    toString(bonus_win) AS bonus_amount_win,
    toString(real_bet + bonus_bet - real_win - bonus_win) AS net
FROM
(
    SELECT
        grouping(created_hour) = 1 AS is_total,
        created_hour AS hour,
        sum(rounds_played) AS rounds,
        uniqExact(user_id) AS players,
        uniqExact(game_id) AS games,
        sum(real_amount_bet) AS real_bet,
        sum(bonus_amount_bet) AS bonus_bet,
        sum(real_amount_win) AS real_win,
        sum(bonus_amount_win) AS bonus_win
    FROM /* source */
    WHERE /* filters */
    GROUP BY created_hour WITH ROLLUP
)
ORDER BY is_total DESC, created_hour
SETTINGS max_threads = 2
