-- Counts the rows of an aggregate table that would still differ after a repair.
SELECT count()
FROM plan_comparison
WHERE /* each sum or: `made_$name` != `held_$name` */
