-- Compares rows of a range of lines that were missing or different once more, and keeps those that still are, for another attempt. Of a
-- round that is stored several times, one that differs.
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
WITH
    file AS
    (
        SELECT *
        FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind IN ('different', 'missing')
            AND line > {after:UInt64} AND line <= {last:UInt64}
    ),
    stored AS
    (
        SELECT *
        FROM game_rounds
        WHERE game_instance_id IN (SELECT game_instance_id FROM file)
    )
SELECT
    {job:UUID}, {next_attempt:UUID}, if(isNull(stored.game_id), 'missing', 'different'), file.line, file.game_instance_id,
    file.file_created_timestamp, file.file_user_id, file.file_game_id, file.file_real_amount_bet, file.file_bonus_amount_bet,
    file.file_real_amount_win, file.file_bonus_amount_win, file.file_game_name, file.file_provider,
    stored.created_timestamp, stored.user_id, stored.game_id, stored.real_amount_bet, stored.bonus_amount_bet,
    stored.real_amount_win, stored.bonus_amount_win, toString(stored.game_name), toString(stored.provider),
    stored.upload_id, stored.line
FROM file LEFT JOIN stored ON file.game_instance_id = stored.game_instance_id
WHERE isNull(stored.game_id) OR NOT
    (
        file.file_created_timestamp = stored.created_timestamp
        AND file.file_user_id = stored.user_id
        AND file.file_game_id = stored.game_id
        AND file.file_real_amount_bet <=> stored.real_amount_bet
        AND file.file_bonus_amount_bet <=> stored.bonus_amount_bet
        AND file.file_real_amount_win <=> stored.real_amount_win
        AND file.file_bonus_amount_win <=> stored.bonus_amount_win
        AND file.file_game_name = toString(stored.game_name)
        AND file.file_provider = toString(stored.provider)
    )
ORDER BY file.line
LIMIT 1 BY file.line
SETTINGS
    join_use_nulls = 1,
    max_memory_usage = 1073741824,
    max_execution_time = 600
