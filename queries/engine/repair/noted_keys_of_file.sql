-- Those of the noted rows that the file has rows of.
SELECT CAST(text AS /* group_type */) AS key
FROM
(
    SELECT key AS text
    FROM reconcile_repair_keys
    WHERE job_id = {job:UUID} AND aggregate_table = '/* aggregate */' AND in_file
        AND key > unhex({after_key:String}) AND key <= unhex({last_key:String})
)
