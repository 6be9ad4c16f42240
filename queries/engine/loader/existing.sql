-- Which of the given tables and views exist.
SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}
