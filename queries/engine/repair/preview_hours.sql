-- Counts the hours whose aggregates a repair would change, and adds them up: rounds and amounts before and after.
SELECT
    count() AS changed,
    [
        toString(sum(held_rounds)), toString(sum(held_real_bet)), toString(sum(held_bonus_bet)), toString(sum(held_real_win)),
        toString(sum(held_bonus_win))
    ] AS before,
    [
        toString(sum(right_rounds)), toString(sum(right_real_bet)), toString(sum(right_bonus_bet)), toString(sum(right_real_win)),
        toString(sum(right_bonus_win))
    ] AS after
FROM plan_hour_sums
