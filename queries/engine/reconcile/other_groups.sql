-- Adds up stored rows of a range of keys that the file's sums do not include, as the view does, within the span of the file's keys. ClickHouse
-- applies these conditions before it adds up, and reads only what may be in the span.
INSERT INTO {groups:Identifier} (/* each group: `$name`, */ `the source`, `the check`, /* each sum: `$name` */)
SELECT /* each group: `$name`, */ {source:String}, {check:UInt8}, /* each sum: CAST(`$name` AS $type) */
FROM (/* view of rows */)
WHERE /* in span */
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
