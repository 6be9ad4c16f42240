-- The outcome of each row of a job, while it runs.
CREATE TABLE {outcomes:Identifier}
(
    /* each key: `$name` $plain, */
    line UInt64,
    kind Enum8('matched' = 0, 'different' = 1, 'missing' = 2, 'duplicate_in_file' = 3, 'contradictory_in_file' = 6)
)
ENGINE = MergeTree
ORDER BY (/* each key: `$name`, */ line)
COMMENT 'Outcomes of a file that is being reconciled'
