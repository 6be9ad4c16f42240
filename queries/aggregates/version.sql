-- What is stored of hourly aggregates, as a number that changes whenever it does (and seldom when it does not: in a merge); and
-- whether all of it is there in each of the orders.
SELECT
    sipHash64(arraySort(groupArray((name, hash_of_all_files)))) AS version,
    countIf(NOT hasAll(projections, ['by_player', 'by_game'])) = 0 AS is_ordered
FROM system.parts
WHERE database = currentDatabase() AND table = 'hourly_aggregates' AND active
