-- The conflicts of an upload by line: each field as it was sent, and as it is stored. A round that is stored with the values that were
-- sent, as after a repair, is no longer a conflict; /* same */ compares all its columns. If there are many, both sides are sorted by id on
-- disk, so that memory does not grow with them. Invalid UTF-8, which only other programs can have written, is repaired.
-- Text that begins with one of the characters in formula_starts gets an apostrophe.
WITH (text -> if(text != '' AND position({formula_starts:String}, substringUTF8(text, 1, 1)) > 0, concat('\'', text), text)) AS escaped
SELECT
    sent.line AS line,
    sent.game_instance_id AS game_instance_id,
    sent.created_timestamp AS created_timestamp,
    stored.created_timestamp AS stored_created_timestamp,
    escaped(toValidUTF8(sent.user_id)) AS user_id,
    escaped(toValidUTF8(stored.user_id)) AS stored_user_id,
    sent.game_id AS game_id,
    stored.game_id AS stored_game_id,
    sent.real_amount_bet AS real_amount_bet,
    stored.real_amount_bet AS stored_real_amount_bet,
    sent.bonus_amount_bet AS bonus_amount_bet,
    stored.bonus_amount_bet AS stored_bonus_amount_bet,
    sent.real_amount_win AS real_amount_win,
    stored.real_amount_win AS stored_real_amount_win,
    sent.bonus_amount_win AS bonus_amount_win,
    stored.bonus_amount_win AS stored_bonus_amount_win,
    escaped(toValidUTF8(sent.game_name)) AS game_name,
    escaped(toValidUTF8(stored.game_name)) AS stored_game_name,
    escaped(toValidUTF8(sent.provider)) AS provider,
    escaped(toValidUTF8(stored.provider)) AS stored_provider,
    toString(stored.upload_id) AS stored_upload_id,
    stored.line AS stored_line
FROM (SELECT * FROM conflicts FINAL WHERE upload_id = {upload_id:UUID}) AS sent
INNER JOIN
(
    SELECT * FROM game_rounds
    WHERE game_instance_id IN (SELECT game_instance_id FROM conflicts WHERE upload_id = {upload_id:UUID})
    ORDER BY kafka_epoch, kafka_partition, kafka_offset
    LIMIT 1 BY game_instance_id
) AS stored ON sent.game_instance_id = stored.game_instance_id
WHERE NOT (/* same */)
ORDER BY line, game_instance_id
SETTINGS
    join_algorithm = 'full_sorting_merge',
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
