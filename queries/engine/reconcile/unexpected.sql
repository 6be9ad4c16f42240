-- Stores the rows of a range of keys that one of the uploads brought and that are not in the file, each once.
INSERT INTO /* differences */
(
    job_id, attempt, kind, line,
    /* each key: `$name`, */
    /* each value: `stored_$name`, */
    stored_upload_id, stored_line
)
SELECT
    {job:UUID}, {attempt:UUID}, 'unexpected', 0,
    /* each key: `$name`, */
    /* each value: `$name`, */
    /* upload_id */, /* line */
FROM /* table */
WHERE /* in range */
    AND /* upload_id */ IN {uploads:Array(UUID)}
    AND (/* each key: `$name` */) NOT IN
    (
        SELECT /* each key: `$name` */ FROM {rows:Identifier}
        WHERE /* in range */
    )
ORDER BY /* each key: `$name` */
LIMIT 1 BY /* each key: `$name` */
SETTINGS
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
