-- Adds an outcome to tables of earlier releases: rows of a file that contradict each other (same id, other values).
ALTER TABLE reconcile_differences
    MODIFY COLUMN kind Enum8('different' = 1, 'missing' = 2, 'duplicate_in_file' = 3, 'unexpected' = 4, 'hour' = 5, 'contradictory_in_file' = 6)
