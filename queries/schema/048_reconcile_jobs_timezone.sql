-- Tables made by earlier releases lack the zone of times without one.
ALTER TABLE reconcile_jobs
    ADD COLUMN IF NOT EXISTS timezone LowCardinality(String) COMMENT 'Zone of times without one, as in the IANA database or an offset; empty: the sender did not name one, UTC' AFTER decimal
