-- Compares the file's rows of a range of ids with the stored rounds, and stores an outcome for each row. If several rows have the same id
-- and the same values, the first one by line is compared. If their values differ, the file does not say which row is right: all rows of
-- that id are contradictory, and none is compared. If a round is stored twice, both copies must be equal to the row.
INSERT INTO {outcomes:Identifier} (game_instance_id, line, kind)
WITH
    repeated AS
    (
        SELECT game_instance_id
        FROM {rows:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
        GROUP BY game_instance_id
        HAVING count() > 1
    ),
    contradictory AS
    (
        SELECT game_instance_id
        FROM {rows:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
            AND game_instance_id IN (SELECT game_instance_id FROM repeated)
        GROUP BY game_instance_id
        -- One tuple, not several arguments: with several arguments, uniqExact ignores rows with a NULL.
        HAVING uniqExact((
            created_timestamp, user_id, game_id, real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win,
            game_name, provider
        )) > 1
    ),
    file AS
    (
        SELECT
            *,
            game_instance_id IN (SELECT game_instance_id FROM contradictory) AS is_contradictory,
            ifNull(lagInFrame(toNullable(game_instance_id)) OVER (
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
        is_contradictory, 6,
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
