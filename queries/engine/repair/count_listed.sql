-- Counts the rows with the keys in the list of removals.
SELECT count()
FROM /* table */
WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM {removals:Identifier})
