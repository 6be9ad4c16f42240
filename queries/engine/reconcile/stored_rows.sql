-- Counts the stored rows of a range of keys.
SELECT count() FROM /* table */
WHERE /* in range */
SETTINGS max_execution_time = 600
