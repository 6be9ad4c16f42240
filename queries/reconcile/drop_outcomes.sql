-- Drops what a job has compared.
DROP TABLE IF EXISTS {outcomes:Identifier} SYNC
