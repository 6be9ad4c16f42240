-- Drops what a job has loaded.
DROP TABLE IF EXISTS {rows:Identifier} SYNC
