-- Adds the decimal mark of a file to tables of earlier releases.
ALTER TABLE reconcile_jobs
    ADD COLUMN IF NOT EXISTS decimal LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty if the sender did not give it' AFTER encoding
