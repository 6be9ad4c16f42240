-- Rows of game_rounds that are to be deleted, by their part: a part never changes, and a merged one has another name.
CREATE TABLE {removals:Identifier}
(
    part              String,
    part_offset       UInt64,
    game_instance_id  UInt64,
    created_hour      DateTime('UTC'),
    user_id           String,
    game_id           UInt64
)
ENGINE = MergeTree
ORDER BY (part, part_offset)
COMMENT 'Rounds that a repair removes'
