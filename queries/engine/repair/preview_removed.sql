-- The sums of the rounds that a repair would remove: count and amounts.
SELECT
[
    toString(count()),
    toString(sum(ifNull(real_amount_bet, 0))),
    toString(sum(ifNull(bonus_amount_bet, 0))),
    toString(sum(ifNull(real_amount_win, 0))),
    toString(sum(ifNull(bonus_amount_win, 0)))
]
FROM plan_removals
