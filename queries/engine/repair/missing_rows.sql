-- The rows of missing rounds, as a file. An amount that is NULL becomes an empty field. The mark is replaced by fixed text: columns that
-- a custom schema adds, which the differences do not keep.
SELECT
    toString(assumeNotNull(file_created_timestamp)) AS created_timestamp,
    game_instance_id,
    assumeNotNull(file_user_id) AS user_id,
    assumeNotNull(file_game_id) AS game_id,
    file_real_amount_bet AS real_amount_bet,
    file_bonus_amount_bet AS bonus_amount_bet,
    file_real_amount_win AS real_amount_win,
    file_bonus_amount_win AS bonus_amount_win,
    assumeNotNull(file_game_name) AS game_name,
    assumeNotNull(file_provider) AS provider /* more columns */
FROM plan_missing
ORDER BY line
SETTINGS
    format_csv_null_representation = '',
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824
