-- Counts the rounds that are about to be removed.
SELECT count() FROM {removals:Identifier}
