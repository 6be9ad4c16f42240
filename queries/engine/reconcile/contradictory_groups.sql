-- Adds the keys of contradictory rows of a range, without sums: they are compared, too.
INSERT INTO {groups:Identifier} (/* each group: `$name`, */ `the source`, `the check`, /* each sum: `$name` */)
SELECT /* each group: `$name`, */ 'file', 0, /* each sum: CAST(0 AS $type) */
FROM (/* view of rows */)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
