-- The keys of rows that count as known for the next chunks, as in all_keys.sql: all of other epochs, and those of this epoch whose offset
-- is lower than the next offset of their partition.
SELECT /* each prefix: `$name`, */ groupBitmapState(toUInt64(`/* key */`))
FROM /* table */
WHERE kafka_epoch != {epoch:UInt32} OR kafka_offset < arrayElement({next:Array(UInt64)}, kafka_partition + 1)
GROUP BY ALL
SETTINGS optimize_aggregation_in_order = 1, max_bytes_before_external_group_by = 268435456
