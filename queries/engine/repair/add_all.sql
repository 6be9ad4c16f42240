-- Adds again what the view of a table without sums makes of all rows.
INSERT INTO /* aggregate */ (/* aggregate_columns */)
SELECT /* aggregate_columns */
FROM plan_made
WHERE /* fence */
