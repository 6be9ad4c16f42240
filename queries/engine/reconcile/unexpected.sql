-- Stores the rounds of a range of ids that one of the uploads brought and that are not in the file, each once.
INSERT INTO reconcile_differences
(
    job_id, attempt, kind, line, game_instance_id,
    stored_created_timestamp, stored_user_id, stored_game_id, stored_real_amount_bet, stored_bonus_amount_bet,
    stored_real_amount_win, stored_bonus_amount_win, stored_game_name, stored_provider,
    stored_upload_id, stored_line
)
SELECT
    {job:UUID}, {attempt:UUID}, 'unexpected', 0, game_instance_id,
    created_timestamp, user_id, game_id, real_amount_bet, bonus_amount_bet,
    real_amount_win, bonus_amount_win, toString(game_name), toString(provider),
    upload_id, line
FROM game_rounds
WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    AND upload_id IN {uploads:Array(UUID)}
    AND game_instance_id NOT IN
    (
        SELECT game_instance_id FROM {rows:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    )
ORDER BY game_instance_id
LIMIT 1 BY game_instance_id
SETTINGS
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
