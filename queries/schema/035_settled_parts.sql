-- Parts that ClickHouse has set aside as broken, and whose rows are there again: rebuilt from what they were made of. The files of such a
-- part stay where ClickHouse has put them, for whoever wants to look.
CREATE TABLE IF NOT EXISTS settled_parts
(
    table       String,
    table_uuid  UUID COMMENT 'A table that is made anew is another one',
    part        String COMMENT 'As in system.detached_parts',
    settled_at  DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (table, table_uuid, part)
COMMENT 'Broken parts whose rows are there again'
