-- Tables made by earlier releases lack how the columns of a file are found.
ALTER TABLE upload_ledger
    ADD COLUMN IF NOT EXISTS columns String COMMENT 'Columns that the file calls by other names, as the parameter columns; empty: none' AFTER decimal,
    ADD COLUMN IF NOT EXISTS has_delimited_rows Bool COMMENT 'Rows end in a delimiter that the header does not have' AFTER columns
