-- Adds to an aggregate table what it lacks, or has too much of. Other columns tolerate values that they have already.
INSERT INTO /* aggregate */ (/* aggregate_columns */)
SELECT /* lacking */
FROM plan_comparison
WHERE ((/* each sum or: `made_$name` != `held_$name` */) OR (is_made AND NOT is_held)) AND /* fence */
