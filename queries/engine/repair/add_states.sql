-- Finds the noted rows of an aggregate table with a column that is not as the view makes it. A maximum that is too high, for example: a lower
-- one cannot be added.
INSERT INTO {values:Identifier}
SELECT /* each group: `$name`, */ /* each other: `made_$name`, */ toString(/* group_key */)
FROM plan_comparison
WHERE is_made AND is_held AND (/* others_differ */)
