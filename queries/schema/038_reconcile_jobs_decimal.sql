-- Tables made by earlier releases lack the decimal mark of a file.
ALTER TABLE reconcile_jobs
    ADD COLUMN IF NOT EXISTS decimal LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty: the sender did not say' AFTER encoding
