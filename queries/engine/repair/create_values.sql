-- The values that rows are to get, by key. They are in memory, where a mutation reads them, and on disk, so that it can continue after a
-- crash.
CREATE TABLE IF NOT EXISTS {values:Identifier}
(
    /* each field: `$name` $type, */
    repair_key String
)
ENGINE = Join(ANY, LEFT, repair_key)
COMMENT 'Values that a repair gives to rows'
