-- Tables made by earlier releases lack the names that a file uses for columns.
ALTER TABLE reconcile_jobs
    ADD COLUMN IF NOT EXISTS columns String COMMENT 'Columns that the file calls by other names, as the parameter columns; empty: none' AFTER decimal
