-- Takes the file's values of rows that differ.
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
FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'different'
    AND line > {after:UInt64} AND line <= {last:UInt64}
