-- A quick comparison of a range of keys. It counts the pairs of a row of the file and its stored row (or of a row and nothing), and the
-- keys. If each key has exactly one pair, no row is a duplicate and no row is stored twice, so the counts of pairs are counts of rows.
WITH
    file AS
    (
        SELECT * FROM {rows:Identifier}
        WHERE /* in range */
    ),
    stored AS
    (
        SELECT *, materialize(true) AS `is stored`
        FROM /* table */
        WHERE /* in range */ AND (/* each key: `$name` */) IN
        (
            SELECT /* each key: `$name` */ FROM {rows:Identifier}
            WHERE /* in range */
        )
    )
SELECT
    count() AS pairs,
    /* count of keys */ AS keys,
    countIf(
        `is stored`
            AND /* each value and: file.`$name` <=> stored.`$name` */
    ) AS matched
FROM file LEFT JOIN stored ON /* each key and: file.`$name` = stored.`$name` */
SETTINGS
    join_algorithm = 'parallel_hash',
    join_use_nulls = 0,
    max_memory_usage = 1073741824,
    max_execution_time = 600
