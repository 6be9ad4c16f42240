-- Stores the keys of an aggregate table whose sums differ, with the sums of their rows and those of the table.
INSERT INTO /* differences */
(
    job_id, attempt, kind, /* each label: `$name`, */ /* each difference_group: `$name`, */
    /* each expected: `$name`, */
    /* each aggregated: `$name`, */
    line
)
SELECT
    {job:UUID}, {attempt:UUID}, '/* kind of sums */', /* each label: {aggregate_table:String}, */ /* each group: `$name`, */
    /* each sum: CAST(sumIf(`$name`, `the source` != 'aggregates') AS $type), */
    /* each sum: CAST(-sumIf(`$name`, `the source` = 'aggregates') AS $type), */
    0
FROM {groups:Identifier}
WHERE `the source` = 'file' OR `the check` = {check:UInt8}
GROUP BY /* each group: `$name` */
HAVING countIf(`the source` = 'file') > 0 AND (/* each sum or: CAST(sum(`$name`) AS $type) != 0 */)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
