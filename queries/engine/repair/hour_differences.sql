-- What must be added to the aggregates of hours that are not the sum of their rounds. The columns are in the order of
-- hourly_aggregates.
SELECT
    created_hour,
    user_id,
    game_id,
    name,
    maker,
    -- A negative number becomes the number that, added to others of this type, subtracts as much.
    reinterpretAsUInt64(right_rounds - held_rounds),
    right_real_bet - held_real_bet,
    right_bonus_bet - held_bonus_bet,
    right_real_win - held_real_win,
    right_bonus_win - held_bonus_win
FROM plan_hour_sums
