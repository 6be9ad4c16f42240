-- Rows that are to be deleted, by their part: a part never changes, and a merged one has another name.
CREATE TABLE {removals:Identifier}
(
    part         String,
    part_offset  UInt64,
    /* each key: `$name` $type */
)
ENGINE = MergeTree
ORDER BY (part, part_offset)
COMMENT 'Rows that a repair removes'
