-- Counts the rows that are about to get other values.
SELECT count() FROM {values:Identifier}
