-- Lists the noted rows of an aggregate table that are there although the view makes nothing of their key.
INSERT INTO {removals:Identifier}
SELECT /* each group: `$name` */
FROM plan_comparison
WHERE is_held AND NOT is_made
