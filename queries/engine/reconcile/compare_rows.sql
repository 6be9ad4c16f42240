-- Compares the file's rows of a range of keys with the stored rows, and stores an outcome for each row. If several rows have the same key
-- and the same values, the first one by line is compared. If their values differ, the file does not say which row is right: all rows of
-- that key are contradictory, and none is compared. If a row is stored twice, both copies must be equal to the row.
INSERT INTO {outcomes:Identifier} (/* each key: `$name`, */ line, kind)
WITH
    repeated AS
    (
        SELECT /* each key: `$name` */
        FROM {rows:Identifier}
        WHERE /* in range */
        GROUP BY /* each key: `$name` */
        HAVING count() > 1
    ),
    contradictory AS
    (
        SELECT /* each key: `$name` */
        FROM {rows:Identifier}
        WHERE /* in range */ AND (/* each key: `$name` */) IN (SELECT * FROM repeated)
        GROUP BY /* each key: `$name` */
        -- One tuple, not several arguments: with several arguments, uniqExact ignores rows with a NULL.
        HAVING uniqExact(tuple(/* each value: `$name`, */ 0)) > 1
    ),
    file AS
    (
        SELECT
            *,
            (/* each key: `$name` */) IN (SELECT * FROM contradictory) AS `is contradictory`,
            ifNull(/* each key and: lagInFrame(toNullable(`$name`)) OVER before = `$name` */, false) AS `is repeated`
        FROM {rows:Identifier}
        WHERE /* in range */
        WINDOW before AS (ORDER BY /* each key: `$name`, */ `file line` ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
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
    /* each key: any(file.`$name`), */
    file.`file line`,
    max(multiIf(
        `is contradictory`, 6,
        `is repeated`, 3,
        NOT `is stored`, 2,
        /* each value and: file.`$name` <=> stored.`$name` */, 0,
        1
    ))
FROM file LEFT JOIN stored ON /* each key and: file.`$name` = stored.`$name` */
GROUP BY file.`file line`
SETTINGS
    join_algorithm = 'parallel_hash',
    join_use_nulls = 0,
    max_bytes_before_external_sort = 67108864,
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
