-- Tables made by earlier releases lack the faults of a row after its first one.
ALTER TABLE rejects
    ADD COLUMN IF NOT EXISTS faults String COMMENT 'All faults of the row, as a JSON array of column, code, reason and value; empty: only the first one is known' AFTER reason,
    ADD COLUMN IF NOT EXISTS codes Array(String) ALIAS arrayDistinct(arrayConcat([toString(code)], arrayMap(fault -> JSONExtractString(fault, 'code'), JSONExtractArrayRaw(faults)))) COMMENT 'The codes of all faults' AFTER faults
