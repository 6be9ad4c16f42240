-- Broken parts that ClickHouse has detached and whose rows are restored, from the data that they were computed from. The files of such a
-- part stay where ClickHouse has moved them, for inspection.
CREATE TABLE IF NOT EXISTS settled_parts
(
    table       String,
    table_uuid  UUID COMMENT 'A recreated table has another UUID',
    part        String COMMENT 'As in system.detached_parts',
    settled_at  DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (table, table_uuid, part)
COMMENT 'Broken parts whose rows are restored'
