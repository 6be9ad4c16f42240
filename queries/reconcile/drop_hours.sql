-- Drops what a job has added up.
DROP TABLE IF EXISTS {hours:Identifier} SYNC
