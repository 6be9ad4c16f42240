-- The keys of all stored rows: for each value of the columns before the last one, a bitmap of the last one. One row if there are none.
-- If the table is in the order of the key, ClickHouse groups without keeping all values in memory; otherwise it does so on disk.
SELECT /* each prefix: `$name`, */ groupBitmapState(toUInt64(`/* key */`))
FROM /* table */
GROUP BY ALL
SETTINGS optimize_aggregation_in_order = 1, max_bytes_before_external_group_by = 268435456
