-- Noted rows of an aggregate table, from after one key up to another, in the order of their texts.
SELECT CAST(text AS /* group_type */) AS key
FROM
(
    SELECT key AS text
    FROM reconcile_repair_keys
    WHERE job_id = {job:UUID} AND aggregate_table = '/* aggregate */'
        AND key > unhex({after_key:String}) AND key <= unhex({last_key:String})
)
