-- Counts the differences of an attempt by kind.
SELECT
    countIf(kind = 'different') AS different,
    countIf(kind = 'missing') AS missing,
    countIf(kind = 'duplicate_in_file') AS duplicate_in_file,
    countIf(kind = 'contradictory_in_file') AS contradictory_in_file,
    countIf(kind = 'unexpected') AS unexpected,
    countIf(kind = 5) AS sums
FROM /* differences */
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID}
