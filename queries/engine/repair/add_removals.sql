-- Lists the rounds that are to be removed.
INSERT INTO {removals:Identifier}
SELECT part, part_offset, game_instance_id, created_hour, user_id, game_id
FROM plan_removals
