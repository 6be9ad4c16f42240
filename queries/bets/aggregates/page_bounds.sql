-- Where a page of hourly aggregates starts and ends. Reads keys only, in order, and no further than needed. Fixed text replaces the
-- placeholders: the table or projection to read, the filters that apply, and the order, which is total.
--
-- A key may be stored several times until merges add it up, so more rows are read than keys are needed. `last_row` is the number
-- (from 0) of the last row with the last key; it shows whether there may be more rows.
SELECT length(keys) AS found, keys[1].1 AS first, keys[least(length(keys), {limit:UInt64})].1 AS last, keys[-1].2 AS last_row
FROM
(
    SELECT groupArray((key, row)) AS keys
    FROM
    (
        SELECT (toUInt32(created_hour), user_id, game_id) AS key, max(row) AS row
        FROM
        (
            SELECT created_hour, user_id, game_id, rowNumberInAllBlocks() AS row
            FROM
            (
                SELECT created_hour, user_id, game_id
                FROM /* source */
                WHERE /* filters */
                ORDER BY /* order */
                LIMIT {rows:UInt64}
            )
        )
        GROUP BY created_hour, user_id, game_id
        ORDER BY /* order */
        LIMIT {limit:UInt64} + 1 OFFSET {skip:UInt64}
    )
)
SETTINGS max_threads = 1
