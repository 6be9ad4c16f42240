-- Adds the headers after a file's first one, and the decimal mark, to tables of earlier releases.
ALTER TABLE upload_ledger
    ADD COLUMN IF NOT EXISTS later_headers String COMMENT 'Later headers as JSON: which lines repeat the first one and which change it; empty if none' AFTER header,
    ADD COLUMN IF NOT EXISTS decimal LowCardinality(String) COMMENT 'Decimal mark of the amounts: point or comma; empty if the sender did not give it' AFTER later_headers
