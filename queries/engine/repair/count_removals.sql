-- Counts the rows that are about to be removed.
SELECT count() FROM {removals:Identifier}
