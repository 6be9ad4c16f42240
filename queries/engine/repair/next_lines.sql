-- The last line of the next {size} rows that were of a range of kinds; 0 if there are none.
SELECT max(line)
FROM
(
    SELECT line
    FROM /* differences */
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind BETWEEN {first_kind:Int8} AND {last_kind:Int8}
        AND line > {after:UInt64}
    ORDER BY line
    LIMIT {size:UInt64}
)
