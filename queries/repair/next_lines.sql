-- The last line of the next so many rows of the file that differ; 0: there are none.
SELECT max(line)
FROM
(
    SELECT line
    FROM reconcile_differences
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'different' AND line > {after:UInt64}
    ORDER BY line
    LIMIT {size:UInt64}
)
