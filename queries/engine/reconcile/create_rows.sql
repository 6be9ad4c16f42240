-- The valid rows of one job's file, while it runs. Each insert makes one part, and parts are rarely merged: merging them while a file is
-- being loaded costs more than reading a few more parts. Names with a space cannot be those of fields.
CREATE TABLE {rows:Identifier}
(
    /* each field: `$name` $sent, */
    `file line` UInt64
)
ENGINE = MergeTree
ORDER BY (/* each key: `$name`, */ `file line`)
SETTINGS min_parts_to_merge_at_once = 50
COMMENT 'Rows of a file that is being reconciled'
