-- The last of the next {size} noted rows of an aggregate table, in hexadecimal; empty if there are none.
SELECT hex(max(key))
FROM
(
    SELECT DISTINCT key
    FROM reconcile_repair_keys
    WHERE job_id = {job:UUID} AND aggregate_table = '/* aggregate */' AND key > unhex({after_key:String})
    ORDER BY key
    LIMIT {size:UInt64}
)
