-- Keeps the rows that still do not match, for another attempt.
INSERT INTO /* differences */
(
    job_id, attempt, kind, line,
    /* each key: `$name`, */
    /* each value: `file_$name`, */
    /* each value: `stored_$name`, */
    stored_upload_id, stored_line
)
SELECT
    {job:UUID}, {next_attempt:UUID}, kind_now, line,
    /* each key: `$name`, */
    /* each value: `file_$name`, */
    /* each value: `stored_$name`, */
    stored_upload_id, stored_line
FROM plan_rows
