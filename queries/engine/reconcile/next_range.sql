-- The last id of the next {size} rows of the file, and how many rows there are.
SELECT max(game_instance_id) AS last_id, count() AS rows
FROM
(
    SELECT game_instance_id FROM {rows:Identifier}
    WHERE game_instance_id >= {first:UInt64}
    ORDER BY game_instance_id
    LIMIT {size:UInt64}
)
