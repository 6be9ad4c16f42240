-- Takes the file's values of the rounds of a range of lines that are to be overwritten.
INSERT INTO {values:Identifier}
SELECT
    game_instance_id,
    assumeNotNull(file_created_timestamp),
    assumeNotNull(file_user_id),
    assumeNotNull(file_game_id),
    file_real_amount_bet,
    file_bonus_amount_bet,
    file_real_amount_win,
    file_bonus_amount_win,
    assumeNotNull(file_game_name),
    assumeNotNull(file_provider)
FROM plan_rows
WHERE is_overwritten
