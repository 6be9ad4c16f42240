-- Stores the rows of a range of ids that do not match, with the values of the file. Different and contradictory rows also get the stored
-- values. If a round is stored several times, these are the values of one copy that differs.
INSERT INTO reconcile_differences
(
    job_id, attempt, kind, line, game_instance_id,
    file_created_timestamp, file_user_id, file_game_id, file_real_amount_bet, file_bonus_amount_bet,
    file_real_amount_win, file_bonus_amount_win, file_game_name, file_provider,
    stored_created_timestamp, stored_user_id, stored_game_id, stored_real_amount_bet, stored_bonus_amount_bet,
    stored_real_amount_win, stored_bonus_amount_win, stored_game_name, stored_provider,
    stored_upload_id, stored_line
)
WITH
    outcome AS
    (
        SELECT line, toString(kind) AS outcome_kind
        FROM {outcomes:Identifier}
        WHERE kind != 'matched' AND game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    ),
    file AS
    (
        SELECT *, if(outcome_kind IN ('different', 'contradictory_in_file'), game_instance_id, NULL) AS compared_id
        FROM {rows:Identifier} AS rows INNER JOIN outcome ON rows.line = outcome.line
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND game_instance_id IN
        (
            SELECT game_instance_id FROM {outcomes:Identifier}
            WHERE kind != 'matched' AND game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
        )
    ),
    stored AS
    (
        SELECT *, toNullable(game_instance_id) AS compared_id
        FROM game_rounds
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND game_instance_id IN
        (
            SELECT game_instance_id FROM {outcomes:Identifier}
            WHERE kind IN ('different', 'contradictory_in_file') AND game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
        )
    )
SELECT
    {job:UUID}, {attempt:UUID}, file.outcome_kind, file.line, file.game_instance_id,
    file.created_timestamp, file.user_id, file.game_id, file.real_amount_bet, file.bonus_amount_bet,
    file.real_amount_win, file.bonus_amount_win, file.game_name, file.provider,
    stored.created_timestamp, stored.user_id, stored.game_id, stored.real_amount_bet, stored.bonus_amount_bet,
    stored.real_amount_win, stored.bonus_amount_win, toString(stored.game_name), toString(stored.provider),
    stored.upload_id, stored.line
FROM file LEFT JOIN stored ON file.compared_id = stored.compared_id
ORDER BY
    file.line,
    file.created_timestamp = stored.created_timestamp
        AND file.user_id = stored.user_id
        AND file.game_id = stored.game_id
        AND file.real_amount_bet <=> stored.real_amount_bet
        AND file.bonus_amount_bet <=> stored.bonus_amount_bet
        AND file.real_amount_win <=> stored.real_amount_win
        AND file.bonus_amount_win <=> stored.bonus_amount_win
        AND file.game_name = toString(stored.game_name)
        AND file.provider = toString(stored.provider)
LIMIT 1 BY file.line
SETTINGS
    join_algorithm = 'full_sorting_merge',
    join_use_nulls = 1,
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
