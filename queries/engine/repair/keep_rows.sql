-- Keeps the rows that still do not match, for another attempt.
INSERT INTO reconcile_differences
(
    job_id, attempt, kind, line, game_instance_id,
    file_created_timestamp, file_user_id, file_game_id, file_real_amount_bet, file_bonus_amount_bet,
    file_real_amount_win, file_bonus_amount_win, file_game_name, file_provider,
    stored_created_timestamp, stored_user_id, stored_game_id, stored_real_amount_bet,
    stored_bonus_amount_bet, stored_real_amount_win, stored_bonus_amount_win,
    stored_game_name, stored_provider,
    stored_upload_id, stored_line
)
SELECT
    {job:UUID}, {next_attempt:UUID}, kind_now, line, game_instance_id,
    file_created_timestamp, file_user_id, file_game_id, file_real_amount_bet, file_bonus_amount_bet,
    file_real_amount_win, file_bonus_amount_win, file_game_name, file_provider,
    stored_created_timestamp, stored_user_id, stored_game_id, stored_real_amount_bet,
    stored_bonus_amount_bet, stored_real_amount_win, stored_bonus_amount_win,
    stored_game_name, stored_provider,
    stored_upload_id, stored_line
FROM plan_rows
