-- How many rounds are about to be removed.
SELECT count() FROM {removals:Identifier}
