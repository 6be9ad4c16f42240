-- Drops a table of a repair.
DROP TABLE IF EXISTS {table:Identifier} SYNC
