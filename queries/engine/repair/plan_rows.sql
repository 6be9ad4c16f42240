-- Compares the rows of a range of lines that were missing or different with the rounds that are stored now, and returns those that still
-- do not match: what was found of a row, what it is now, and whether the repair overwrites its round. If a round is stored several
-- times, one that differs is returned.
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
    toString(file.kind) AS found_kind,
    if(isNull(stored.game_id), 'missing', 'different') AS kind_now,
    {prefers_file:Bool} AND found_kind = 'different' AND kind_now = 'different' AS is_overwritten,
    file.line AS line,
    file.game_instance_id AS game_instance_id,
    file.file_created_timestamp AS file_created_timestamp,
    file.file_user_id AS file_user_id,
    file.file_game_id AS file_game_id,
    file.file_real_amount_bet AS file_real_amount_bet,
    file.file_bonus_amount_bet AS file_bonus_amount_bet,
    file.file_real_amount_win AS file_real_amount_win,
    file.file_bonus_amount_win AS file_bonus_amount_win,
    file.file_game_name AS file_game_name,
    file.file_provider AS file_provider,
    stored.created_timestamp AS stored_created_timestamp,
    stored.user_id AS stored_user_id,
    stored.game_id AS stored_game_id,
    stored.real_amount_bet AS stored_real_amount_bet,
    stored.bonus_amount_bet AS stored_bonus_amount_bet,
    stored.real_amount_win AS stored_real_amount_win,
    stored.bonus_amount_win AS stored_bonus_amount_win,
    toString(stored.game_name) AS stored_game_name,
    toString(stored.provider) AS stored_provider,
    stored.upload_id AS stored_upload_id,
    stored.line AS stored_line
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
