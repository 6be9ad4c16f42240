-- Drops a table that a reconciliation, or a repair of what it has found, has made for itself.
DROP TABLE IF EXISTS {table:Identifier} SYNC
