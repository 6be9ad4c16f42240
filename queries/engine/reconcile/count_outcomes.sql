-- Counts the outcomes of a range of keys by kind.
SELECT
    countIf(kind = 'matched') AS matched,
    countIf(kind = 'different') AS different,
    countIf(kind = 'missing') AS missing,
    countIf(kind = 'duplicate_in_file') AS duplicate_in_file,
    countIf(kind = 'contradictory_in_file') AS contradictory_in_file
FROM {outcomes:Identifier}
WHERE /* in range */
SETTINGS max_execution_time = 600
