-- What the view of an aggregate table makes of the rows of one job, while it runs: sums by the key of the table. `the check` is the number of
-- the comparison. Source 'contradictory': stored rows that have contradictory rows in the file. Names with a space cannot be those of columns.
CREATE TABLE {groups:Identifier}
(
    /* each group: `$name` $type, */
    `the source` Enum8('file' = 1, 'others' = 2, 'aggregates' = 3, 'contradictory' = 4),
    `the check` UInt8,
    /* each wide: `$name` $type */
)
ENGINE = MergeTree
ORDER BY (/* each group: `$name` */)
SETTINGS allow_nullable_key = 1
COMMENT 'Sums of a file that is being reconciled'
