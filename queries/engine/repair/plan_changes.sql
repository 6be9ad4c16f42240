-- Rows that were found to differ and that a repair changes, or produces. The keys of rows are in it.
SELECT *
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID}
    AND (kind = 'missing' OR (kind = 'different' AND {prefers_file:Bool}) OR (kind = 'unexpected' AND {removes_unexpected:Bool}))
