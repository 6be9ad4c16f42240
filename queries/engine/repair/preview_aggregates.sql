-- Counts the rows of an aggregate table whose sums a repair would change, and adds these up: before and after.
SELECT
    count() AS changed,
    [/* each wide: toString(sum(CAST(`held_$name` AS $type))) */] AS before,
    [/* each wide: toString(sum(CAST(`made_$name` AS $type))) */] AS after
FROM plan_comparison
WHERE /* each sum or: `made_$name` != `held_$name` */
