-- Counts the outcomes of a range of ids by kind.
SELECT
    countIf(kind = 'matched') AS matched,
    countIf(kind = 'different') AS different,
    countIf(kind = 'missing') AS missing,
    countIf(kind = 'duplicate_in_file') AS duplicate_in_file,
    countIf(kind = 'contradictory_in_file') AS contradictory_in_file
FROM {outcomes:Identifier}
WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
SETTINGS max_execution_time = 600
