-- Notes the rows of an aggregate table that a repair looks at.
INSERT INTO reconcile_repair_keys (job_id, aggregate_table, key, in_file)
SELECT {job:UUID}, '/* aggregate */', toString(key), in_file
FROM plan_keys
