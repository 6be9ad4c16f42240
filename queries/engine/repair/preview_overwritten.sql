-- Counts the rows that still do not match, by what a repair would do with them, and adds up the rounds that it would overwrite: their
-- count and amounts before and after.
SELECT
    countIf(found_kind = 'missing' AND kind_now = 'missing') AS missing,
    countIf(found_kind = 'different' AND kind_now = 'different') AS different,
    countIf(kind_now = 'different' AND NOT is_overwritten) AS left_different,
    countIf(NOT is_overwritten AND NOT (found_kind = 'missing' AND kind_now = 'missing')) AS left_rows,
    [
        toString(countIf(is_overwritten)),
        toString(sumIf(ifNull(stored_real_amount_bet, 0), is_overwritten)),
        toString(sumIf(ifNull(stored_bonus_amount_bet, 0), is_overwritten)),
        toString(sumIf(ifNull(stored_real_amount_win, 0), is_overwritten)),
        toString(sumIf(ifNull(stored_bonus_amount_win, 0), is_overwritten))
    ] AS before,
    [
        toString(countIf(is_overwritten)),
        toString(sumIf(ifNull(file_real_amount_bet, 0), is_overwritten)),
        toString(sumIf(ifNull(file_bonus_amount_bet, 0), is_overwritten)),
        toString(sumIf(ifNull(file_real_amount_win, 0), is_overwritten)),
        toString(sumIf(ifNull(file_bonus_amount_win, 0), is_overwritten))
    ] AS after
FROM plan_rows
