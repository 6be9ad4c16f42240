-- Compares the rows of a range of lines that were missing or different with the rows that are stored now, and returns those that still do
-- not match: what was found of a row, what it is now, and whether the repair overwrites it. If a row is stored several times, a copy that
-- differs is returned.
WITH
    file AS
    (
        SELECT *
        FROM /* differences */
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind IN ('different', 'missing')
            AND line > {after:UInt64} AND line <= {last:UInt64}
    ),
    stored AS
    (
        SELECT
            true AS is_there,
            /* each key: `$name`, */
            /* each value: CAST(`$name` AS Nullable($plain)) AS `now_$name`, */
            /* upload_id */ AS now_upload_id,
            /* line */ AS now_line
        FROM /* table */
        WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM file)
    )
SELECT
    toString(file.kind) AS found_kind,
    if(stored.is_there, 'different', 'missing') AS kind_now,
    {prefers_file:Bool} AND found_kind = 'different' AND kind_now = 'different' AS is_overwritten,
    file.line AS line,
    /* each key: file.`$name` AS `$name`, */
    /* each value: file.`file_$name` AS `file_$name`, */
    /* each value: stored.`now_$name` AS `stored_$name`, */
    stored.now_upload_id AS stored_upload_id,
    stored.now_line AS stored_line
FROM file LEFT JOIN stored ON /* each key and: file.`$name` = stored.`$name` */
WHERE NOT stored.is_there OR NOT (/* each value and: file.`file_$name` <=> stored.`now_$name` */)
ORDER BY file.line
LIMIT 1 BY file.line
