-- Adds up the file's rows of a range of keys as the view of an aggregate table does, each row once. The outcomes are known by now: duplicate
-- and contradictory rows are not in the sums.
INSERT INTO {groups:Identifier} (/* each group: `$name`, */ `the source`, `the check`, /* each sum: `$name` */)
SELECT /* each group: `$name`, */ 'file', 0, /* each sum: CAST(`$name` AS $type) */
FROM (/* view of rows */)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
