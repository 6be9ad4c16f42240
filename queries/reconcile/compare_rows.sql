-- The file's rows of a range of ids against what is stored: how many of each kind, and the first twenty by line that do
-- not match. Of the rows with one id the first by line is compared; where a round is stored twice, both must be equal.
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
    ),
    compared AS
    (
        SELECT
            file.line AS line,
            max(multiIf(
                is_repeated, 4,
                NOT is_stored, 3,
                file.created_timestamp = stored.created_timestamp
                    AND file.user_id = stored.user_id
                    AND file.game_id = stored.game_id
                    AND file.real_amount_bet <=> stored.real_amount_bet
                    AND file.bonus_amount_bet <=> stored.bonus_amount_bet
                    AND file.real_amount_win <=> stored.real_amount_win
                    AND file.bonus_amount_win <=> stored.bonus_amount_win
                    AND file.game_name = stored.game_name
                    AND file.provider = stored.provider, 1,
                2
            )) AS kind,
            any(file.game_instance_id) AS id
        FROM file LEFT JOIN stored ON file.game_instance_id = stored.game_instance_id
        GROUP BY line
    )
SELECT
    countIf(kind = 1) AS matched,
    countIf(kind = 2) AS different,
    countIf(kind = 3) AS missing,
    countIf(kind = 4) AS duplicate_in_file,
    groupArraySortedIf(20)((line, toUInt8(kind), id), kind != 1) AS sample
FROM compared
SETTINGS
    join_algorithm = 'hash',
    join_use_nulls = 0,
    max_bytes_before_external_sort = 67108864,
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
