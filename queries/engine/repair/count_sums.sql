-- Counts the keys whose sums are not those of their rows, or that are missing. The digest changes when they, or what they lack, change.
SELECT count() AS keys, groupBitXor(cityHash64(/* each group: `$name`, */ /* each sum: `made_$name`, `held_$name`, */ is_held)) AS digest
FROM plan_comparison
WHERE (/* each sum or: `made_$name` != `held_$name` */) OR (is_made AND NOT is_held)
