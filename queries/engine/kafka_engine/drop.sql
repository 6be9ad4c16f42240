-- Drops a table of ClickHouse's own consumer, or a view on it.
DROP TABLE IF EXISTS {name:Identifier} SYNC
