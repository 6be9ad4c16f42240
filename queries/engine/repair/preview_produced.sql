-- The sums of the rounds that a repair would produce: count and amounts.
SELECT
[
    toString(count()),
    toString(sum(ifNull(file_real_amount_bet, 0))),
    toString(sum(ifNull(file_bonus_amount_bet, 0))),
    toString(sum(ifNull(file_real_amount_win, 0))),
    toString(sum(ifNull(file_bonus_amount_win, 0)))
]
FROM plan_missing
