-- Counts the rows of each aggregate table whose sums differ, as an attempt found them.
SELECT toString(/* aggregate table */) AS aggregate, count() AS differ
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 5
GROUP BY aggregate
