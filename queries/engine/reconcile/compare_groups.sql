-- Counts the keys of an aggregate table that the file's rows have. The rows of the file and of other files must add up to its sums. Sums wrap
-- around in the types of the table, so differences do, too.
SELECT
    count() AS checked,
    countIf(`is different`) AS different,
    countIf(`is shared`) AS shared
FROM
(
    SELECT
        /* each sum or: CAST(sum(`$name`) AS $type) != 0 */ AS `is different`,
        countIf(`the source` = 'others') > 0 AS `is shared`
    FROM {groups:Identifier}
    WHERE `the source` = 'file' OR `the check` = {check:UInt8}
    GROUP BY /* each group: `$name` */
    HAVING countIf(`the source` = 'file') > 0
)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
