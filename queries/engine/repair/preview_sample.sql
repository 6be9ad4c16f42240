-- The rows that a repair would overwrite, in the form of the table of differences: with the values of the file and those stored now.
SELECT found.* REPLACE (
    /* each value: now.`stored_$name` AS `stored_$name`, */
    now.stored_upload_id AS stored_upload_id,
    now.stored_line AS stored_line
)
FROM
(
    SELECT * FROM /* differences */ WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'different'
) AS found
INNER JOIN (SELECT * FROM plan_rows WHERE is_overwritten) AS now ON found.line = now.line
