-- The first and the last value of each column of the key of an aggregate table in the file, and how many different ones its first column has.
CREATE TABLE {spans:Identifier}
ENGINE = MergeTree
ORDER BY tuple()
AS SELECT
    /* each bounded: min(`$name`) AS `first $name`, */
    /* each bounded: max(`$name`) AS `last $name`, */
    uniq(`/* first group */`) AS `different keys`
FROM {groups:Identifier}
WHERE `the source` = 'file'
SETTINGS max_memory_usage = 1073741824, max_execution_time = 600
