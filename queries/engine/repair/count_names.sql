-- Counts the hours that are about to get other names.
SELECT count() FROM {names:Identifier}
