-- A number that changes whenever the stored hourly aggregates change (and rarely when they do not, after a merge), and whether all
-- rows are stored in each order.
SELECT
    sipHash64(arraySort(groupArray((name, hash_of_all_files)))) AS version,
    countIf(NOT hasAll(projections, ['by_player', 'by_game'])) = 0 AS is_ordered
FROM system.parts
WHERE database = currentDatabase() AND table = 'hourly_aggregates' AND active
