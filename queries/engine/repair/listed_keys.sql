-- The rows of an aggregate table that differed, by their keys.
SELECT CAST(tuple(/* listed_group */) AS /* group_type */) AS key, true AS in_file
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 5 AND /* each label and: `$name` = '$(aggregate)' */
