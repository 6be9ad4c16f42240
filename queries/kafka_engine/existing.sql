-- Which of the tables and views of ClickHouse's own consumer are there.
SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}
