-- How many rows and bytes each table of the database has.
SELECT name, assumeNotNull(total_rows) AS rows, ifNull(total_bytes, 0) AS bytes
FROM system.tables
WHERE database = currentDatabase() AND total_rows IS NOT NULL
