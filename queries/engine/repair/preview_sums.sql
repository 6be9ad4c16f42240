-- The sums that the view makes of some rows.
SELECT [/* each wide: toString(sum(CAST(`$name` AS $type))) */]
FROM plan_made
