-- The file's rows of a range of ids against what is stored: an outcome for each. Of the rows with one id the first by line is
-- compared; where a round is stored twice, both must be equal.
INSERT INTO {outcomes:Identifier} (game_instance_id, line, kind)
WITH
    file AS
    (
        SELECT *, ifNull(lagInFrame(toNullable(game_instance_id)) OVER (
            ORDER BY game_instance_id, line ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING
        ) = game_instance_id, false) AS is_repeated
        FROM {rows:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    ),
    stored AS
    (
        SELECT *, materialize(true) AS is_stored
        FROM game_rounds
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND game_instance_id IN
        (
            SELECT game_instance_id FROM {rows:Identifier}
            WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
        )
    )
SELECT
    any(file.game_instance_id),
    file.line AS line,
    max(multiIf(
        is_repeated, 3,
        NOT is_stored, 2,
        file.created_timestamp = stored.created_timestamp
            AND file.user_id = stored.user_id
            AND file.game_id = stored.game_id
            AND file.real_amount_bet <=> stored.real_amount_bet
            AND file.bonus_amount_bet <=> stored.bonus_amount_bet
            AND file.real_amount_win <=> stored.real_amount_win
            AND file.bonus_amount_win <=> stored.bonus_amount_win
            AND file.game_name = stored.game_name
            AND file.provider = stored.provider, 0,
        1
    ))
FROM file LEFT JOIN stored ON file.game_instance_id = stored.game_instance_id
GROUP BY line
SETTINGS
    join_algorithm = 'parallel_hash',
    join_use_nulls = 0,
    max_bytes_before_external_sort = 67108864,
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
