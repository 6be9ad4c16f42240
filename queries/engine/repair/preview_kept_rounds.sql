-- The stored rounds without those that a repair would remove.
SELECT *
FROM game_rounds
WHERE (_part, _part_offset) NOT IN (SELECT part, part_offset FROM plan_removals)
