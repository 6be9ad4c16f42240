-- Keys of rows of an aggregate table that are to be deleted.
CREATE TABLE {removals:Identifier}
(
    /* each group: `$name` $type */
)
ENGINE = MergeTree
ORDER BY tuple()
COMMENT 'Rows of an aggregate table that a repair removes'
