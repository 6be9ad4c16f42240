-- A quick comparison of a range of ids. It counts the pairs of a row of the file and its stored round (or of a row and nothing), and the
-- ids. If each id has exactly one pair, no row is a duplicate and no round is stored twice, so the counts of pairs are counts of rows.
WITH
    file AS
    (
        SELECT * FROM {rows:Identifier}
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
    count() AS pairs,
    groupBitmap(file.game_instance_id) AS ids,
    countIf(
        is_stored
            AND file.created_timestamp = stored.created_timestamp
            AND file.user_id = stored.user_id
            AND file.game_id = stored.game_id
            AND file.real_amount_bet <=> stored.real_amount_bet
            AND file.bonus_amount_bet <=> stored.bonus_amount_bet
            AND file.real_amount_win <=> stored.real_amount_win
            AND file.bonus_amount_win <=> stored.bonus_amount_win
            AND file.game_name = stored.game_name
            AND file.provider = stored.provider
    ) AS matched
FROM file LEFT JOIN stored ON file.game_instance_id = stored.game_instance_id
SETTINGS
    join_algorithm = 'parallel_hash',
    join_use_nulls = 0,
    max_memory_usage = 1073741824,
    max_execution_time = 600
