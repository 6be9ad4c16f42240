-- The rounds that a repair would overwrite, in the form of reconcile_differences: with the values of the file and those stored now.
SELECT
    {job:UUID} AS job_id,
    {attempt:UUID} AS attempt,
    CAST('different', 'Enum8(\'different\' = 1)') AS kind,
    * EXCEPT (found_kind, kind_now, is_overwritten),
    CAST(NULL, 'Nullable(DateTime(\'UTC\'))') AS created_hour,
    CAST(NULL, 'Nullable(String)') AS user_id,
    CAST(NULL, 'Nullable(UInt64)') AS game_id,
    NULL AS expected_rounds_played,
    NULL AS expected_real_amount_bet,
    NULL AS expected_bonus_amount_bet,
    NULL AS expected_real_amount_win,
    NULL AS expected_bonus_amount_win,
    NULL AS aggregated_rounds_played,
    NULL AS aggregated_real_amount_bet,
    NULL AS aggregated_bonus_amount_bet,
    NULL AS aggregated_real_amount_win,
    NULL AS aggregated_bonus_amount_win
FROM plan_rows
WHERE is_overwritten
