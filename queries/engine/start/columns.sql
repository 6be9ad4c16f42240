-- The columns of all tables of the database, with their types.
SELECT table, name, type
FROM system.columns
WHERE database = currentDatabase()
