-- Adds again what the view makes of all rows, for the noted keys of a table without sums.
INSERT INTO /* aggregate */ (/* aggregate_columns */)
SELECT /* aggregate_columns */
FROM plan_made
WHERE /* group_key */ IN (SELECT key FROM noted_keys) AND /* fence */
