-- Broken parts of Roundhouse's tables that ClickHouse has detached, and whose blocks are not all in another part. Their rows are missing
-- until someone restores them. If the broken part was just created by a merge, its source parts are still there and are read instead. If a
-- mutation created the broken part, the other parts must have that mutation too.
SELECT
    broken.table AS table,
    toString(broken.table_uuid) AS table_uuid,
    broken.name AS name,
    broken.bytes_on_disk AS bytes
FROM
(
    SELECT
        parts.table AS table,
        tables.uuid AS table_uuid,
        parts.name AS name,
        parts.bytes_on_disk AS bytes_on_disk,
        ifNull(parts.partition_id, '') AS partition,
        ifNull(parts.min_block_number, 0) AS first_block,
        ifNull(parts.max_block_number, 0) AS last_block,
        isNull(parts.max_block_number) AS is_unknown,
        toUInt64OrZero(extract(parts.name, '_\\d+_\\d+_\\d+_(\\d+)')) AS mutation
    FROM system.detached_parts AS parts
    INNER JOIN system.tables AS tables ON parts.database = tables.database AND parts.table = tables.name
    WHERE parts.database = currentDatabase() AND startsWith(ifNull(parts.reason, ''), 'broken')
        AND (tables.uuid, parts.name) NOT IN (SELECT table_uuid, part FROM settled_parts)
) AS broken
LEFT JOIN
(
    SELECT table, partition_id, min_block_number, max_block_number, data_version
    FROM system.parts
    WHERE database = currentDatabase() AND active
) AS active ON broken.table = active.table AND broken.partition = active.partition_id
GROUP BY broken.table, broken.table_uuid, broken.name, broken.bytes_on_disk
HAVING any(is_unknown) OR
    sumIf(
        least(last_block, max_block_number) - greatest(first_block, min_block_number) + 1,
        min_block_number <= last_block AND max_block_number >= first_block AND data_version >= mutation
            AND active.table != ''
    ) < any(last_block - first_block) + 1
ORDER BY table, name
