-- Counts the rows of a key that have contradictory rows in the file.
SELECT uniqExact((/* each key: `$name` */))
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'contradictory_in_file'
