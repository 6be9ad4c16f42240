-- The columns of all tables of the database, with their types, and whether they are in the order or the partitions of their table.
SELECT table, name, type, is_in_sorting_key, is_in_partition_key
FROM system.columns
WHERE database = currentDatabase()
ORDER BY table, position
