-- Keeps the hours that still differ, for another attempt.
INSERT INTO reconcile_differences
(
    job_id, attempt, kind, line, game_instance_id, created_hour, user_id, game_id,
    expected_rounds_played, expected_real_amount_bet, expected_bonus_amount_bet, expected_real_amount_win,
    expected_bonus_amount_win,
    aggregated_rounds_played, aggregated_real_amount_bet, aggregated_bonus_amount_bet, aggregated_real_amount_win,
    aggregated_bonus_amount_win
)
SELECT
    {job:UUID}, {next_attempt:UUID}, 'hour', 0, 0, hour, player, game,
    expected_rounds, expected_real_bet, expected_bonus_bet, expected_real_win, expected_bonus_win,
    held_rounds, held_real_bet, held_bonus_bet, held_real_win, held_bonus_win
FROM plan_left_hours
