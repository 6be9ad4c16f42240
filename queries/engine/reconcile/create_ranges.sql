-- The last key of each range of a job, while it runs.
CREATE TABLE {ranges:Identifier}
(
    `range number` UInt64,
    /* each key: `$name` $plain */
)
ENGINE = MergeTree
ORDER BY `range number`
COMMENT 'Ranges of a file that is being reconciled'
