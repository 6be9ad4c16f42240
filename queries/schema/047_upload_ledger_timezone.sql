-- Tables made by earlier releases lack the zone of times without one.
ALTER TABLE upload_ledger
    ADD COLUMN IF NOT EXISTS timezone LowCardinality(String) COMMENT 'Zone of times without one, as in the IANA database or an offset; empty: the sender did not name one, UTC' AFTER decimal
