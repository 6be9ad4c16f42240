-- The rows of the file that were missing and are still not stored.
SELECT *
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing' AND (/* each key: `$name` */) NOT IN
(
    SELECT /* each key: `$name` */ FROM /* table */ WHERE (/* each key: `$name` */) IN
    (
        SELECT /* each key: `$name` */ FROM /* differences */
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing'
    )
)
