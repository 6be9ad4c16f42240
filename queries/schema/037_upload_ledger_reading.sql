-- Tables made by earlier releases lack the headers after a file's first one, and the decimal mark.
ALTER TABLE upload_ledger
    ADD COLUMN IF NOT EXISTS later_headers String COMMENT 'Headers after the first one: which lines repeat it and which change it, as JSON; empty: none' AFTER header,
    ADD COLUMN IF NOT EXISTS decimal LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty: the sender did not say' AFTER later_headers
