-- Copies an aggregate table within the span of the file's keys, negated, so that sums of all sources are differences.
INSERT INTO {groups:Identifier} (/* each group: `$name`, */ `the source`, `the check`, /* each sum: `$name` */)
SELECT /* each group: `$name`, */ 'aggregates', {check:UInt8}, /* each wide: -CAST(`$name` AS $type) */
FROM /* aggregate */
WHERE /* in span */
SETTINGS
    max_memory_usage = 1073741824,
    max_execution_time = 600
