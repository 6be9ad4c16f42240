-- Drops a temporary table of a reconciliation or of a repair.
DROP TABLE IF EXISTS {table:Identifier} SYNC
