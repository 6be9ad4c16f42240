-- Stores the rows of a range of keys that do not match, with the values of the file. Different and contradictory rows also get the stored
-- values. If a row is stored several times, these are the values of one copy that differs.
INSERT INTO /* differences */
(
    job_id, attempt, kind, line,
    /* each key: `$name`, */
    /* each value: `file_$name`, */
    /* each value: `stored_$name`, */
    stored_upload_id, stored_line
)
WITH
    outcome AS
    (
        SELECT line AS `outcome line`, toString(kind) AS `outcome kind`
        FROM {outcomes:Identifier}
        WHERE kind != 'matched' AND /* in range */
    ),
    file AS
    (
        -- The last column of the key, where a stored row is looked for.
        SELECT *, if(`outcome kind` IN ('different', 'contradictory_in_file'), `/* key */`, NULL) AS `compared key`
        FROM {rows:Identifier} AS rows INNER JOIN outcome ON rows.`file line` = outcome.`outcome line`
        WHERE /* in range */ AND (/* each key: `$name` */) IN
        (
            SELECT /* each key: `$name` */ FROM {outcomes:Identifier}
            WHERE kind != 'matched' AND /* in range */
        )
    ),
    stored AS
    (
        SELECT *, toNullable(`/* key */`) AS `compared key`, /* upload_id */ AS `its upload`, /* line */ AS `its line`
        FROM /* table */
        WHERE /* in range */ AND (/* each key: `$name` */) IN
        (
            SELECT /* each key: `$name` */ FROM {outcomes:Identifier}
            WHERE kind IN ('different', 'contradictory_in_file') AND /* in range */
        )
    )
SELECT
    {job:UUID}, {attempt:UUID}, file.`outcome kind`, file.`file line`,
    /* each key: file.`$name`, */
    /* each value: file.`$name`, */
    /* each value: stored.`$name`, */
    stored.`its upload`, stored.`its line`
FROM file LEFT JOIN stored ON file.`compared key` = stored.`compared key` AND /* each prefix and: file.`$name` = stored.`$name` */
ORDER BY
    file.`file line`,
    /* each value and: file.`$name` <=> stored.`$name` */
LIMIT 1 BY file.`file line`
SETTINGS
    join_algorithm = 'full_sorting_merge',
    join_use_nulls = 1,
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
