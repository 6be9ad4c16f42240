-- Where a page of hourly aggregates begins and ends: keys only, read in their order no further than needed. The marks are replaced by
-- fixed text: the order of the table that is read, which filters apply, and the order, which is total.
--
-- A key may be stored several times until merges add it up, so more rows are read than keys are wanted: `last_row` is the
-- number of the last row (from 0) that has the last key, from which it is seen whether there may be more.
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
