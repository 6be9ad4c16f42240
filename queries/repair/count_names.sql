-- How many hours are about to get other names.
SELECT count() FROM {names:Identifier}
