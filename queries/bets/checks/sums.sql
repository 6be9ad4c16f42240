-- Sums of the rounds and of the aggregates, if they differ
-- One line for the rounds, and one for the hours.
-- expect: no rows
SELECT of, rounds, real_bet, bonus_bet, real_win, bonus_win
FROM
(
    SELECT
        'rounds' AS of,
        count() AS rounds,
        sum(ifNull(real_amount_bet, 0)) AS real_bet,
        sum(ifNull(bonus_amount_bet, 0)) AS bonus_bet,
        sum(ifNull(real_amount_win, 0)) AS real_win,
        sum(ifNull(bonus_amount_win, 0)) AS bonus_win
    FROM game_rounds
    UNION ALL
    SELECT
        'hours',
        sum(rounds_played),
        sum(real_amount_bet),
        sum(bonus_amount_bet),
        sum(real_amount_win),
        sum(bonus_amount_win)
    FROM hourly_aggregates
)
QUALIFY count() OVER (PARTITION BY rounds, real_bet, bonus_bet, real_win, bonus_win) = 1
ORDER BY of DESC
