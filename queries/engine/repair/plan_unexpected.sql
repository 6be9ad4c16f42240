-- The rows of the file's upload that are not in the file and are still stored.
SELECT *
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
    AND (/* each key: `$name`, */ ifNull(stored_upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) IN
    (
        SELECT /* each key: `$name`, */ ifNull(/* upload_id */, toUUID('00000000-0000-0000-0000-000000000000'))
        FROM /* table */
        WHERE (/* each key: `$name` */) IN
        (
            SELECT /* each key: `$name` */ FROM /* differences */
            WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
        )
    )
