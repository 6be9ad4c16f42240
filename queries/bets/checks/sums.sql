-- The sum of every amount, from the rounds and from the aggregates. The two lines must be equal.
SELECT 'rounds' AS of, count() AS rounds, sum(real_amount_bet) AS real_bet, sum(bonus_amount_bet) AS bonus_bet,
    sum(real_amount_win) AS real_win, sum(bonus_amount_win) AS bonus_win
FROM game_rounds
UNION ALL
SELECT 'hours', sum(rounds_played), sum(real_amount_bet), sum(bonus_amount_bet), sum(real_amount_win), sum(bonus_amount_win)
FROM hourly_aggregates
